"""The public name of the model's class."""

from __future__ import annotations

from tta_service.clip import frozen, model


def test_the_public_name_is_the_model():
    assert frozen.FrozenCLIP is model.FrozenCLIP
