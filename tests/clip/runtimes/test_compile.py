"""The functions that are compiled, without a compiler: one graph, and a forward of its own for each reducer."""

from __future__ import annotations

import pytest
import torch

from tests.clip.small import pixels, small_model
from tta_service.clip.encoder_config import EncoderConfig, build_image_encoder
from tta_service.clip.runtimes.compile import copy_code


def test_forwards_of_one_code_are_kept_apart():
    """torch keeps eight graphs for a piece of code, and runs what comes later uncompiled without a word."""
    forwards = [lambda x, by=by, *, more=1.0: more * x * by for by in range(3)]
    assert len({id(forward.__code__) for forward in forwards}) == 1
    own = [copy_code(forward) for forward in forwards]
    assert len({id(forward.__code__) for forward in own}) == 3
    assert [forward(torch.ones(2), more=2.0).tolist() for forward in own] == [[0, 0], [2, 2], [4, 4]]
    whole = torch.nn.Identity()
    assert copy_code(whole) is whole


@pytest.mark.slow
def test_a_forward_is_one_graph():
    """What torch cannot compile would cut it into pieces; the first forward here would raise."""
    eager = build_image_encoder(
        small_model({"layers": 2}).eval().requires_grad_(False), EncoderConfig(), 32, 24, "small"
    )
    run = torch.compile(copy_code(lambda x: eager(x)), backend="eager", fullgraph=True, dynamic=True)
    with torch.no_grad():
        for rows in (1, 3):
            assert torch.allclose(run(pixels(rows)), eager(pixels(rows)), atol=1e-5)
