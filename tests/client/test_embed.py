"""Features of pictures and texts by the client."""

from __future__ import annotations

import pytest
from tta_client import Client, TTAClientError

from tests.rpc.conftest import jpeg


def test_pictures_and_texts_have_unit_features_in_one_space(service: str):
    with Client(service) as client:
        (picture, other), (text,) = client.embed([jpeg(0), jpeg(1)]), client.embed(texts=["a photo of a cat."])
        (same,) = client.embed(texts=["cat"], templates=["a photo of a {}."])
        assert len(picture) == len(other) == len(text) and picture != other
        assert sum(x * x for x in picture) == pytest.approx(1.0, abs=1e-4)
        assert text == pytest.approx(same, abs=1e-5)
        with pytest.raises(TTAClientError, match="give images or texts"):
            client.embed()
