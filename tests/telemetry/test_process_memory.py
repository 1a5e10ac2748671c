"""The limit is the lower of the container's and the machine's; a peak counts even when it is over."""

from __future__ import annotations

from pathlib import Path

import torch

from tta_service.telemetry.process_memory import CGROUPS, RisingMemory, memory_limit


def write_limit(root: Path, path: str, text: str) -> Path:
    (root / path).parent.mkdir(parents=True)
    (root / path).write_text(text)
    return root


def test_a_container_has_less_than_the_machine(tmp_path: Path):
    machine = memory_limit(tmp_path)
    assert machine > 1 << 26
    for path in CGROUPS:
        assert memory_limit(write_limit(tmp_path / path[-3:], path, "33554432\n")) == 33554432


def test_a_container_without_a_limit_has_the_machine(tmp_path: Path):
    machine = memory_limit(tmp_path)
    assert memory_limit(write_limit(tmp_path / "max", CGROUPS[0], "max\n")) == machine
    assert memory_limit(write_limit(tmp_path / "huge", CGROUPS[1], str(1 << 62))) == machine


def test_a_peak_counts_even_when_it_is_over():
    torch.ones(1 << 24).sum()  # 64 MiB that are freed before the measurement
    rising = RisingMemory()
    torch.ones(1 << 23).sum()
    assert 0.5 * (1 << 25) < rising.rise() < 1.5 * (1 << 25)  # the kernel counts roughly, on each processor apart
