from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tta_service.core.errors import BadRequest
from tta_service.serving.persistence.signing import Seal

TENSORS = {"0.marks": torch.arange(6.0).view(2, 3).T, "0.count": torch.tensor(3), "1.none": torch.zeros(0, 4)}
SEALED = Seal(b"one").close({"who": "ann", "tree": [1, None, {"ä": 0.5}]}, TENSORS)


def test_what_is_sealed_comes_back():
    said, tensors = Seal(b"one").open(SEALED)
    assert said == {"who": "ann", "tree": [1, None, {"ä": 0.5}]}
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


@settings(deadline=None)
@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_any_changed_byte_is_noticed(place: int, by: int):
    changed = bytearray(SEALED)
    changed[place] ^= by
    with pytest.raises(BadRequest):
        Seal(b"one").open(bytes(changed))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_anything_else_is_refused(blob: bytes):
    with pytest.raises(BadRequest):
        Seal(b"one").open(blob)


def test_without_a_secret_only_this_seal_opens_it():
    mine = Seal()
    blob = mine.close({}, TENSORS)
    mine.open(blob)
    with pytest.raises(BadRequest):
        Seal().open(blob)
