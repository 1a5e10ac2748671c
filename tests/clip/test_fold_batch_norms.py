from __future__ import annotations

import copy
from importlib.resources import as_file, files

import pytest
import torch
from torch import nn

from tests.clip.small import pixels
from tta_service.clip import pocket
from tta_service.clip.encoder_config import fold_batch_norms
from tta_service.clip.pocket.tower import PackedConv, pack_stem
from tta_service.clip.weights.checkpoint import from_files
from tta_service.clip.weights.config import CONFIG


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@torch.no_grad()
def test_the_pocket_stem_folds_and_stays_the_same():
    with as_file(files(pocket)) as folder:
        visual = from_files(folder / CONFIG, folder / "pocket.safetensors").model.visual.eval()
    folded, image = copy.deepcopy(visual), pixels(4, visual.image_size[0])
    assert fold_batch_norms(folded) == norms(visual) > 0 == norms(folded)
    folded.to(memory_format=torch.channels_last)
    image_last = image.contiguous(memory_format=torch.channels_last)
    mine, theirs = (nn.functional.normalize(x, dim=-1) for x in (folded(image_last), visual(image)))
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_folded_stem_packs_and_stays_the_same_for_any_number_of_rows():
    with as_file(files(pocket)) as folder:
        visual = from_files(folder / CONFIG, folder / "pocket.safetensors").model.visual.eval()
    packed, size = copy.deepcopy(visual), visual.image_size[0]
    assert not pack_stem(packed, torch.zeros(1, 3, size, size))  # its norms are not folded
    fold_batch_norms(packed)
    packed.to(memory_format=torch.channels_last)
    if not pack_stem(packed, torch.zeros(1, 3, size, size)):
        pytest.skip("this torch lacks the operators")
    assert any(isinstance(module, PackedConv) for module in packed.modules())
    for rows in (1, 3, 16):
        image = pixels(rows, size)
        before = image.clone()
        mine, theirs = (nn.functional.normalize(tower(image), dim=-1) for tower in (packed, visual))
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)
        torch.testing.assert_close(image, before, rtol=0, atol=0)


def test_what_is_not_right_behind_a_convolution_stays():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.BatchNorm2d(4)).eval()
    assert fold_batch_norms(model) == 0 and norms(model) == 2


@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_one_of_its_own(bias):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=bias), nn.BatchNorm2d(4)).eval()
    model[1].running_mean.normal_(), model[1].running_var.uniform_(0.5, 2), model[1].weight.normal_()
    expected = model(pixels(2))
    assert fold_batch_norms(model) == 1
    torch.testing.assert_close(model(pixels(2)), expected, rtol=1e-5, atol=1e-5)
