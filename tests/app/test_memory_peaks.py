"""The peak memory of strategies, each measured alone on the real service."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tta_service.app import build_runtime
from tta_service.app.memory_peaks import RisingMemory, dump_peaks, load_peaks, measure_peaks
from tta_service.core.events import Event
from tta_service.core.request import Report
from tta_service.settings import BadSettings, load


@pytest.mark.slow
async def test_more_views_take_more_memory_and_answers_are_not_observed(tmp_path: Path):
    events: list[Event] = []
    settings = load({"batch.max_rows": 64, "lanes.cores": 1})
    async with build_runtime(settings, observe=events.append) as parts:
        peaks = [peak async for peak in measure_peaks(parts, names=("zero_shot", "zero", "tda"))]
        assert parts.sessions.counters.sessions == 0
    bytes_of = {peak.strategy: peak.bytes for peak in peaks}
    assert list(bytes_of) == ["zero_shot", "zero", "tda"]
    pixels = 4 * 3 * 64 * parts.clip.image_size**2  # of 64 views, normalised
    assert bytes_of["zero"] > bytes_of["zero_shot"] + pixels
    assert not [event for event in events if isinstance(event, Report)]
    file = tmp_path / "peaks.jsonl"
    file.write_text(dump_peaks(peaks))
    assert load_peaks(file) == peaks


def test_a_missing_file_is_reported_with_its_setting(tmp_path: Path):
    with pytest.raises(BadSettings, match=r"metrics\.peaks: cannot read .*: No such file"):
        load_peaks(tmp_path / "none")


WRONG = [
    ("[1]", "a line: "),
    ('{"strategy": "tda"}', "device: "),
    ('{"strategy": "tda", "device": "cpu", "bytes": "9"}', "bytes: .* integer"),
    ('{"strategy": "tda", "device": "cpu", "bytes": -9}', "bytes: .* greater than or equal to 0"),
    ('{"strategy": ["tda"], "device": "cpu", "bytes": 9}', "strategy: .* string"),
    ("no JSON", "a line: "),
    ("[" * 100_000, "a line: "),
    ("\udcff", "'utf-8' codec"),
]


@pytest.mark.parametrize(("text", "why"), WRONG, ids=range(len(WRONG)))
def test_another_file_is_refused(tmp_path: Path, text: str, why: str):
    (tmp_path / "file").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadSettings, match=f"metrics.peaks: .* not written by `tta-service measure`: {why}") as refused:
        load_peaks(tmp_path / "file")
    assert len(str(refused.value)) < 400


def test_a_peak_counts_even_when_it_is_over():
    torch.ones(1 << 24).sum()  # 64 MiB that are freed before the measurement
    rising = RisingMemory()
    torch.ones(1 << 23).sum()
    assert 0.5 * (1 << 25) < rising.rise() < 1.5 * (1 << 25)  # the kernel counts roughly, on each processor apart
