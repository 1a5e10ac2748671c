"""Label sets on the wire: two classes of one name, and names that the text tower was never taught."""

from __future__ import annotations

from dataclasses import replace

import grpc
import pytest
from open_clip import OPENAI_IMAGENET_TEMPLATES, zero_shot_metadata

from tta_service.testing import FakeCLIP
from tta_service.wire.v1 import tta_pb2 as pb

from ..conftest import frame, open_harness, opening, options, question

NAMES = ["missile", "cat", "crane", "missile", "crane"]
DUPLICATES = pb.LabelSet(names=NAMES, allow_duplicates=True)
STRANGE = "qzxwv"


class HalfTaught(FakeCLIP):
    def text_space(self, labels):
        unseen = tuple(dict.fromkeys(name for name in labels.names if name == STRANGE))
        return replace(super().text_space(labels), unseen=unseen)


async def test_classes_of_one_name_are_told_apart_by_their_index(harness):
    info = (await harness.stub.PutLabelSet(pb.PutLabelSetRequest(label_set=DUPLICATES))).info
    assert info.classes == 5
    got = await harness.stub.GetLabelSet(pb.GetLabelSetRequest(id=info.id))
    assert list(got.label_set.names) == NAMES and got.label_set.allow_duplicates
    assert (await harness.stub.PutLabelSet(pb.PutLabelSetRequest(label_set=got.label_set))).info.id == info.id
    for labels in (pb.Labels(id=info.id), pb.Labels(label_set=DUPLICATES)):
        response = await harness.stub.Classify(question(labels=labels, options=options("mean", views=3)))
        assert response.label_set_id == info.id
        for scores in (response.top, response.zero_shot):
            assert sorted(score.index for score in scores) == list(range(5))
            assert all(score.label == NAMES[score.index] for score in scores)


async def test_sentences_come_back_and_change_the_answer_of_their_class_alone(harness):
    said = [pb.Sentences(texts=["a very large bird", "it fishes in shallow water"]), pb.Sentences()]
    plain, taught = pb.LabelSet(names=["crane", "cat"]), pb.LabelSet(names=["crane", "cat"], sentences=said)
    info = (await harness.stub.PutLabelSet(pb.PutLabelSetRequest(label_set=taught))).info
    got = (await harness.stub.GetLabelSet(pb.GetLabelSetRequest(id=info.id))).label_set
    assert list(got.sentences) == said and list(got.templates) == ["a photo of a {}."]
    answers = []
    for labels in (pb.Labels(label_set=plain), pb.Labels(id=info.id)):
        response = await harness.stub.Classify(question(labels=labels))
        answers.append({score.label: score.logit for score in response.zero_shot})
    assert answers[0]["cat"] == pytest.approx(answers[1]["cat"], abs=1e-4)
    assert answers[0]["crane"] != pytest.approx(answers[1]["crane"], abs=1e-2)


@pytest.mark.parametrize(
    "labels, field, problem",
    [
        (pb.LabelSet(names=["a", "b"], sentences=[pb.Sentences(texts=["x"])]), "sentences", "the set has 2"),
        (pb.LabelSet(names=["a"], sentences=[pb.Sentences(texts=["x"] * 81)]), "sentences[0]", "at most 80"),
        (pb.LabelSet(names=["a"], sentences=[pb.Sentences(texts=["x" * 257])]), "sentences[0][0]", "at most 256"),
        (pb.LabelSet(names=["a"], sentences=[pb.Sentences(texts=["x " * 80])]), "sentences", "80 words"),
        (pb.LabelSet(names=["a"], templates=["best"]), "templates[0]", "openai, simple"),
        (pb.LabelSet(names=["a"], templates=[f"{i} {{}}" for i in range(81)]), "templates", "at most 80"),
    ],
)
async def test_sentences_that_cannot_be_taken_are_named(harness, labels, field, problem):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await harness.stub.PutLabelSet(pb.PutLabelSetRequest(label_set=labels))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details().startswith(f"label_set.{field}: ") and problem in refused.value.details()


async def test_published_templates_are_chosen_by_name(harness):
    put = pb.PutLabelSetRequest(label_set=pb.LabelSet(names=["cat"], templates=["openai"]))
    got = await harness.stub.GetLabelSet(pb.GetLabelSetRequest(id=(await harness.stub.PutLabelSet(put)).info.id))
    spelled = pb.LabelSet(names=["cat"], templates=[fill("{}") for fill in OPENAI_IMAGENET_TEMPLATES])
    assert got.label_set == spelled and len(spelled.templates) == 80


async def test_imagenets_own_names_are_a_label_set(harness):
    names = zero_shot_metadata.IMAGENET_CLASSNAMES  # two "missile", two "sunglasses"
    labels = pb.Labels(label_set=pb.LabelSet(names=names, allow_duplicates=True))
    response = await harness.stub.Classify(question(labels=labels, options=pb.Options(top_k=1000)))
    assert sorted(score.index for score in response.top) == list(range(1000))
    assert all(score.label == names[score.index] for score in response.top)


async def test_a_refused_duplicate_names_both_places(harness):
    given = pb.LabelSet(names=NAMES)
    await harness.stub.PutLabelSet(pb.PutLabelSetRequest(label_set=DUPLICATES))  # which changes nothing for others
    for call, field in (
        (harness.stub.PutLabelSet(pb.PutLabelSetRequest(label_set=given)), "label_set.names[3]"),
        (harness.stub.Classify(question(labels=pb.Labels(label_set=given))), "labels.label_set.names[3]"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert refused.value.details().startswith(f"{field}: names 0 and 3 are both 'missile'")


async def test_names_that_were_never_taught_come_with_the_answer_and_the_registration():
    strange = pb.LabelSet(names=["cat", STRANGE, STRANGE], allow_duplicates=True)
    async with open_harness(HalfTaught()) as harness:
        info = (await harness.stub.PutLabelSet(pb.PutLabelSetRequest(label_set=strange))).info
        assert list(info.unseen) == [STRANGE]
        for labels in (pb.Labels(id=info.id), pb.Labels(label_set=strange)):
            for _ in range(2):
                assert list((await harness.stub.Classify(question(labels=labels))).unseen) == [STRANGE]
        assert not (await harness.stub.Classify(question())).unseen


async def test_a_stream_repeats_them_only_after_a_change_of_labels():
    strange = pb.Labels(label_set=pb.LabelSet(names=["cat", STRANGE]))
    known = pb.Labels(label_set=pb.LabelSet(names=["cat", "dog"]))
    bad = b"no picture"
    sent = [frame(1), frame(2), frame(3, bad), frame(4), frame(5, labels=known), frame(6), frame(7)]
    async with open_harness(HalfTaught()) as harness:
        call = harness.stub.ClassifyStream(iter([opening(labels=strange, policy=pb.OpenStream.POLICY_BLOCK), *sent]))
        replies = [reply async for reply in call if reply.WhichOneof("kind") != "status"]
    unseen = [list(reply.answer.response.unseen) for reply in replies]
    assert unseen == [[STRANGE], [], [], [], [], [STRANGE], []]
