"""Recorded forwards: a recording cannot run here, but what goes into it and comes out of it can be tested."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tests.clip.small import small_model, tokenizer
from tta_service.clip import CannotLoad
from tta_service.clip.encoder_config import EncoderConfig
from tta_service.clip.image.compiled import LARGE, SIZES, run_in_buckets, sizes_on
from tta_service.clip.model import FrozenCLIP
from tta_service.clip.runtimes.cudagraphs import replay


def taped(made: list[int]):
    """As a CUDA graph does: reads its input where it lies, and writes its output where the last one lies."""

    def record(run, pixels):
        made.append(len(pixels))
        out = run(pixels).clone()
        return out, lambda: out.copy_(run(pixels))

    return record


def test_a_recording_reads_and_writes_where_it_did():
    made: list[int] = []
    run = replay(lambda x: x.flatten(1)[:, :2] * 2, torch.zeros(1, 3, 4, 4), (4, 2, 1), taped(made))
    assert made == [4, 2, 1]  # the largest first: the others find its memory free
    rows = torch.randn(7, 3, 4, 4)
    first = run(rows[:4])
    again = run(rows[3:])
    assert torch.equal(first, rows[:4].flatten(1)[:, :2] * 2)  # and not what came later
    assert torch.equal(again, rows[3:].flatten(1)[:, :2] * 2)
    assert torch.equal(run_in_buckets(run, rows, (4, 2, 1)), rows.flatten(1)[:, :2] * 2)


def test_one_at_a_time_from_any_thread():
    run = replay(lambda x: x.flatten(1)[:, :2], torch.zeros(1, 3, 4, 4), (2, 1), taped([]))
    rows = [torch.full((2, 3, 4, 4), float(i)) for i in range(64)]
    with ThreadPoolExecutor(8) as pool:
        assert all((features == i).all() for i, features in enumerate(pool.map(run, rows)))


def test_pixels_keep_their_layout():
    blank = torch.zeros(1, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    seen: list[bool] = []

    def forward(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.is_contiguous(memory_format=torch.channels_last))
        return x.flatten(1)[:, :2]

    replay(forward, blank, (2, 1), taped([]))(torch.ones(2, 3, 4, 4))
    assert all(seen)


def test_more_rows_at_once_on_a_gpu():
    assert sizes_on(torch.device("cpu")) == SIZES
    assert sizes_on(torch.device("cuda", 1)) == LARGE + SIZES


def test_it_is_for_gpus():
    with pytest.raises(CannotLoad, match="cudagraphs is for CUDA devices; on cpu take eager or compile") as refused:
        FrozenCLIP(small_model(), tokenizer(), config=EncoderConfig(runtime="cudagraphs"))
    assert refused.value.field == "runtime"
    with pytest.raises(CannotLoad, match="cudagraphs computes in float32 or bfloat16 or float16, not in int8"):
        FrozenCLIP(small_model(), tokenizer(), config=EncoderConfig("int8", "cudagraphs"))
