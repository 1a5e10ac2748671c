"""Tests that need a GPU: the same views and the same features, whatever shares the batch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tests.clip.small import small_model, tokenizer
from tta_service.clip.encoder_config import EncoderConfig
from tta_service.clip.hardware import why_not
from tta_service.clip.model import FrozenCLIP
from tta_service.core.reducer import Reduction
from tta_service.core.request import Encoded
from tta_service.images.decode import decode
from tta_service.images.gpu.views import look_on_device
from tta_service.images.views import AUGMENTS, look
from tta_service.reducers.random import RandomDrop
from tta_service.reducers.tome import ToMe

from .images.files import encode, photo

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
GPU = torch.device("cuda", 0)
REDUCERS = (RandomDrop(keep=0.5), ToMe(keep=0.5))


def pixels(width: int = 700, height: int = 500) -> torch.Tensor:
    return decode(Encoded(encode(photo(width, height), "JPEG")))


@pytest.mark.parametrize("augment", AUGMENTS)
def test_views_are_those_of_the_cpu(augment):
    mine, theirs = look_on_device(GPU, pixels(), 224, 10, 0, augment), look(pixels(), 224, 10, 0, augment)
    apart = (mine.pixels.cpu().int() - theirs.pixels.int()).abs()
    assert apart.max() <= 1 and apart.float().mean() < 2e-3


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_recorded_forwards_are_those_of_the_cpu(precision):
    if why := why_not(precision, GPU):
        pytest.skip(why)
    form = EncoderConfig(precision, "cudagraphs", reducers=REDUCERS)
    there, here = (
        FrozenCLIP(small_model(), tokenizer(), config=form, device=GPU),
        FrozenCLIP(small_model(), tokenizer()),
    )
    rows = look(pixels(), 32, 300, 0).pixels
    for reduction in (None, *map(Reduction, REDUCERS)):
        expected = here.encode_image(rows, reduction)
        for count in (300, 1, 7, 64):
            alike = (there.encode_image(rows[:count].to(GPU), reduction) * expected[:count]).sum(-1)
            assert alike.quantile(0.02) > 0.99  # in half precision a near tie may merge other tokens
    with ThreadPoolExecutor(4) as pool:
        some = list(pool.map(lambda start: there.encode_image(rows[start : start + 8]), range(0, 80, 8)))
    assert (torch.cat(some) * here.encode_image(rows[:80])).sum(-1).min() > 0.99
