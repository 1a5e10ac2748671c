from __future__ import annotations

import sys

import psutil
import pytest
import torch

from tta_service.clip.model import release_memory


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_what_is_free_goes_back():
    def resident() -> int:
        return psutil.Process().memory_info().rss

    release_memory()  # of what earlier tests left
    before = resident()
    many = [torch.ones(10_000) for _ in range(4000)]  # 160 MB, each too small for a mapping of its own
    last = torch.ones(10_000)  # keeps the end of the heap
    grown = resident() - before
    del many
    release_memory()
    assert grown > 120e6 and resident() - before < 0.5 * grown and last.sum() == 10_000
