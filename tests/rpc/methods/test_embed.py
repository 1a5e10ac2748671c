"""Features of pictures and texts, which are those that answers are made of."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from tests.rpc.conftest import Harness, jpeg, question
from tta_service.wire.v1 import tta_pb2 as pb


def rows(reply: pb.EmbedResponse) -> np.ndarray:
    return np.array([list(one.values) for one in reply.embeddings])


async def test_the_cosines_of_pictures_and_texts_are_the_logits_of_answers(harness: Harness):
    pictures = rows(await harness.stub.Embed(pb.EmbedRequest(images=[pb.Image(encoded=jpeg(i)) for i in (0, 1)])))
    given = pb.EmbedRequest(texts=["cat", "dog", "car"], templates=["a photo of a {}."])
    texts = rows(await harness.stub.Embed(given))
    assert np.linalg.norm(np.concatenate([pictures, texts]), axis=1) == pytest.approx(1.0, abs=1e-4)
    answer = await harness.stub.Classify(question())
    scale = next(iter(answer.zero_shot)).logit / (pictures[0] @ texts[answer.zero_shot[0].index])
    for score in answer.zero_shot:
        assert score.logit == pytest.approx(scale * pictures[0] @ texts[score.index], rel=1e-3, abs=1e-2)
    assert not np.allclose(pictures[0], pictures[1])


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (pb.EmbedRequest(), "images"),
        (pb.EmbedRequest(images=[pb.Image(encoded=jpeg())], texts=["a"]), "images"),
        (pb.EmbedRequest(images=[pb.Image(encoded=jpeg()), pb.Image()]), "images[1]"),
        (pb.EmbedRequest(images=[pb.Image(encoded=jpeg()), pb.Image(encoded=b"x")]), "images[1].encoded"),
        (pb.EmbedRequest(images=[pb.Image(encoded=jpeg())] * 600), "images"),
        (pb.EmbedRequest(texts=["a", "b" * 300]), "texts[1]"),
        (pb.EmbedRequest(texts=["a"], templates=["none"]), "templates[0]"),
    ],
)
async def test_what_is_wrong_is_named(harness: Harness, given: pb.EmbedRequest, field: str):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await harness.stub.Embed(given)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(refused.value.details()).startswith(f"{field}: ")
