"""A batch of rows on the host and on the device."""

from __future__ import annotations

import torch

from tests.fake_gpu import GPU, fake_gpu
from tta_service.core.labels import TextSpace
from tta_service.serving.batching.batcher import concatenate
from tta_service.serving.pipeline.adaptation import EncodedViews, choose_confident


def rows(count: int, device: str = "cpu") -> torch.Tensor:
    return torch.zeros(count, 3, 4, 4, dtype=torch.uint8, device=device)


def test_rows_of_one_job_are_not_copied():
    alone = rows(3)
    assert concatenate([alone]) is alone


def test_rows_that_were_cut_on_a_device_stay_there():
    """Those of AugMix, of a canary, of anything else come to them: in whatever order."""
    with fake_gpu() as seen:
        for pieces in ([rows(2), rows(3, "cuda")], [rows(3, "cuda"), rows(2)]):
            assert concatenate(pieces).shape[0] == 5
            assert concatenate(pieces).device == GPU
    assert not seen.downloads and set(seen.uploads) == {2 * 3 * 4 * 4}


def test_rows_of_the_host_stay_in_order():
    assert concatenate([rows(1) + 1, rows(2) + 2])[:, 0, 0, 0].tolist() == [1, 2, 2]


def test_a_second_look_picks_its_rows_where_they_lie():
    features = torch.nn.functional.normalize(torch.tensor([[1.0, 0.9], [1.0, 0.1], [0.9, 1.0]]), dim=-1)
    seen, text = EncodedViews((features,), 3), TextSpace.of(torch.eye(2))
    with fake_gpu() as device:
        pixels = torch.zeros(3, 3, 4, 4, dtype=torch.uint8, device=GPU)
        kept, rows, again = choose_confident(seen, text, 0.3, pixels)
        assert kept.tolist() == [1] and rows.tolist() == [0, 1]
        assert again.device == GPU and len(again) == 2
    assert not device.downloads
