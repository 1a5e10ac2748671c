"""Every single-answer method of the service, through a real channel."""

from __future__ import annotations

from importlib.metadata import version

import grpc
import numpy as np
import pytest
import torch

from tta_service.core import catalogue
from tta_service.core.events import Called
from tta_service.core.request import Report
from tta_service.wire.v1 import tta_pb2 as pb

from ..conftest import LABELS, busy, choice, jpeg, open_harness, options, question, until


async def code_of(call) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


@pytest.mark.parametrize("name", catalogue.strategies.names())
async def test_every_strategy_answers(harness, name):
    response = await harness.stub.Classify(question(options=options(name), request_id="r-1"))
    assert response.strategy.name == name
    assert {score.label for score in response.top} == {"cat", "dog", "car"}
    assert sum(score.score for score in response.top) == pytest.approx(1.0, abs=1e-5)
    assert response.request_id == "r-1" and response.model == "fake" and response.batch_rows >= response.views >= 1
    assert response.timings.total > 0
    assert response.session.session_id


async def test_the_default_strategy_is_zero_shot(harness):
    response = await harness.stub.Classify(question())
    assert response.strategy.name == "zero_shot"
    assert response.top == response.zero_shot


async def test_parameters_are_taken_and_echoed(harness):
    response = await harness.stub.Classify(question(options=options("zero", views=5)))
    assert response.views == 5
    assert response.strategy.parameters["views"] == 5
    assert "keep" in response.strategy.parameters  # defaults are echoed too


async def test_an_explanation_when_asked(harness):
    asked = options("mean", views=4)
    asked.explain = True
    response = await harness.stub.Classify(question(options=asked))
    assert len(response.explanation.views) == 4
    assert sum(view.weight for view in response.explanation.views) == pytest.approx(1.0, abs=1e-5)
    assert (response.explanation.views[0].width, response.explanation.views[1].width) > (0.0, 0.0)


async def test_a_cascade_goes_on_when_the_first_answer_is_unsure(harness):
    asked = pb.Options(strategy=choice("zero_shot"), cascade=pb.Cascade(to=choice("mta", views=4), above=0.0))
    response = await harness.stub.Classify(question(options=asked))
    assert (response.escalated, response.strategy.name, response.views) == (True, "mta", 4)
    asked.cascade.above = 1.0
    response = await harness.stub.Classify(question(options=asked))
    assert (response.escalated, response.strategy.name, response.views) == (False, "zero_shot", 1)


async def test_raw_pixels_answer_like_the_same_picture_in_a_file(harness):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    raw = pb.RawImage(width=32, height=32, format=pb.RawImage.FORMAT_RGB24, pixels=pixels.tobytes())
    bgr = pb.RawImage(width=32, height=32, format=pb.RawImage.FORMAT_BGR24, pixels=pixels[..., ::-1].tobytes())
    one, two = [await harness.stub.Classify(question(image=pb.Image(raw=image))) for image in (raw, bgr)]
    assert one.top == two.top


async def test_features_made_on_the_device_answer_like_the_image(harness):
    from tta_service.core.request import Encoded
    from tta_service.images.decode import decode
    from tta_service.images.views import look

    views = look(decode(Encoded(jpeg())), harness.parts.clip.image_size, 8, 3, "crop")
    rows = harness.parts.clip.encode_image(views.pixels) * 7.0  # of any length: the server normalises
    features = pb.Features(
        views=8,
        dimension=harness.parts.clip.dimension,
        values=rows.numpy().astype("<f4").tobytes(),
        model=harness.parts.clip.fingerprint,
    )
    asked = options("mta", views=8)
    asked.seed = 3
    made_here = await harness.stub.Classify(question(options=asked))
    made_there = await harness.stub.Classify(question(options=asked, image=pb.Image(features=features)))
    assert [score.index for score in made_here.top] == [score.index for score in made_there.top]
    assert [s.logit for s in made_here.top] == pytest.approx([s.logit for s in made_there.top], abs=1e-3)


async def test_a_session_remembers_until_it_is_reset_or_closed(harness):
    asked = question(options=options("tda", views=2), session_id="cam-1")
    for _ in range(3):
        response = await harness.stub.Classify(asked)
    assert response.session.frames == 3 and response.session.memory_bytes > 0
    info = (await harness.stub.GetSession(pb.GetSessionRequest(session_id="cam-1"))).session
    assert (info.session_id, info.frames, list(info.strategies)) == ("cam-1", 3, ["tda"])
    assert info.age.ToTimedelta().total_seconds() >= info.idle.ToTimedelta().total_seconds() >= 0
    fresh = (await harness.stub.ResetSession(pb.ResetSessionRequest(session_id="cam-1"))).session
    assert fresh.memory_bytes == 0
    again = await harness.stub.Classify(asked)
    assert again.session.memory_reset and again.session.frames == 4
    await harness.stub.CloseSession(pb.CloseSessionRequest(session_id="cam-1"))
    assert await code_of(harness.stub.GetSession(pb.GetSessionRequest(session_id="cam-1"))) is grpc.StatusCode.NOT_FOUND


async def test_a_call_without_a_session_leaves_none(harness):
    await harness.stub.Classify(question(options=options("tda", views=2)))
    assert harness.parts.sessions.counters.sessions == 0


async def test_sessions_are_listed_in_pages(harness):
    for name in "edcba":
        await harness.stub.Classify(question(session_id=name))
    pages, token = [], ""
    while True:
        page = await harness.stub.ListSessions(pb.ListSessionsRequest(page_size=2, page_token=token))
        pages.append([session.session_id for session in page.sessions])
        token = page.next_page_token
        if not token:
            break
    assert pages == [["a", "b"], ["c", "d"], ["e"]]


async def test_label_sets_are_put_named_listed_and_deleted(harness):
    put = pb.PutLabelSetRequest(label_set=pb.LabelSet(names=["a", "b"], templates=["a {} here."]))
    info = (await harness.stub.PutLabelSet(put)).info
    assert (info.classes, info.cached) == (2, True) and info.bytes == 2 * 4 * harness.parts.clip.dimension
    assert (await harness.stub.PutLabelSet(put)).info == info  # idempotent
    got = await harness.stub.GetLabelSet(pb.GetLabelSetRequest(id=info.id))
    assert got.label_set == put.label_set and got.info == info
    response = await harness.stub.Classify(question(labels=pb.Labels(id=info.id)))
    assert response.label_set_id == info.id and {score.label for score in response.top} == {"a", "b"}
    assert list((await harness.stub.ListLabelSets(pb.ListLabelSetsRequest())).infos) == [info]
    await harness.stub.DeleteLabelSet(pb.DeleteLabelSetRequest(id=info.id))
    assert not (await harness.stub.ListLabelSets(pb.ListLabelSetsRequest())).infos
    assert await code_of(harness.stub.Classify(question(labels=pb.Labels(id=info.id)))) is grpc.StatusCode.NOT_FOUND


async def test_strategies_are_described(harness):
    await harness.stub.Classify(question(options=options("tda", views=2)))
    listed = await harness.stub.ListStrategies(pb.ListStrategiesRequest())
    by_name = {one.name: one for one in listed.strategies}
    assert list(by_name) == list(catalogue.strategies.names()) and listed.default_name == "zero_shot"
    tda = by_name["tda"]
    assert tda.memory == "session" and "arXiv" in tda.paper and tda.summary
    assert tda.seconds > 0 and by_name["mta"].seconds == 0
    views = next(p for p in by_name["zero"].parameters if p.name == "views")
    assert (views.type, views.default_value.number_value, views.minimum.number_value) == ("int", 64, 1)
    assert views.maximum.number_value >= 64


async def test_reducers_are_described(harness):
    listed = await harness.stub.ListReducers(pb.ListReducersRequest())
    assert "none" in {one.name for one in listed.reducers} and listed.default_name == "none"


async def test_the_server_says_what_it_is(harness):
    info = await harness.stub.GetServerInfo(pb.GetServerInfoRequest())
    assert (info.version, info.model, info.device, info.precision) == (version("tta-service"), "fake", "cpu", "float32")
    assert (info.image_size, info.dimension) == (harness.parts.clip.image_size, harness.parts.clip.dimension)
    assert info.model_fingerprint == harness.parts.clip.fingerprint
    assert info.limits["names"] == 2000 and info.limits["image_bytes"] == 8 << 20
    async with open_harness(parameters={"views": 32}) as small:
        limits = (await small.stub.GetServerInfo(pb.GetServerInfoRequest())).limits
        assert limits["views"] == 512 and limits["parameters"]["views"] == 32


TDA = options("tda", views=2)


async def test_a_session_goes_on_from_its_snapshot(harness):
    for seed in range(3):
        await harness.stub.Classify(question(image=pb.Image(encoded=jpeg(seed)), options=TDA, session_id="cam"))
    snapshot = (await harness.stub.SnapshotSession(pb.SnapshotSessionRequest(session_id="cam"))).snapshot
    assert (snapshot.session_id, snapshot.epoch) == ("cam", 1)
    after = question(image=pb.Image(encoded=jpeg(9)), options=TDA, session_id="cam")
    expected = await harness.stub.Classify(after)
    async with open_harness() as other:
        restored = (await other.stub.RestoreSession(pb.RestoreSessionRequest(snapshot=snapshot))).session
        assert (restored.session_id, restored.frames, restored.epoch) == ("cam", 3, 2)
        response = await other.stub.Classify(after)
        assert response.top == expected.top and response.session.frames == 4
        assert response.session.origin == pb.SessionStatus.ORIGIN_RESTORED
    assert expected.top != (await harness.stub.Classify(question(image=after.image, options=TDA, session_id="new"))).top


async def test_snapshots_that_cannot_be_made_or_restored_name_the_field(harness):
    await harness.stub.Classify(question(options=TDA, session_id="cam"))
    snapshot = (await harness.stub.SnapshotSession(pb.SnapshotSessionRequest(session_id="cam"))).snapshot
    changed = pb.SessionSnapshot(state=snapshot.state[:-1])
    for call, code, field in (
        (harness.stub.SnapshotSession(pb.SnapshotSessionRequest()), grpc.StatusCode.INVALID_ARGUMENT, "session_id"),
        (
            harness.stub.SnapshotSession(pb.SnapshotSessionRequest(session_id="dog")),
            grpc.StatusCode.NOT_FOUND,
            "session_id",
        ),
        (
            harness.stub.RestoreSession(pb.RestoreSessionRequest(snapshot=changed)),
            grpc.StatusCode.INVALID_ARGUMENT,
            "snapshot.state",
        ),
        (harness.stub.RestoreSession(pb.RestoreSessionRequest()), grpc.StatusCode.INVALID_ARGUMENT, "snapshot.state"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is code and caught.value.details().startswith(f"{field}: ")
    with (
        harness.parts.sessions.lease("", "cam"),
        pytest.raises(grpc.aio.AioRpcError, match=r"snapshot\.session_id: .*in use") as caught,
    ):
        await harness.stub.RestoreSession(pb.RestoreSessionRequest(snapshot=snapshot))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_snapshot_over_the_message_limit_names_its_size():
    async with open_harness(message_bytes=4096) as harness:
        await harness.stub.Classify(question(options=TDA, session_id="cam"))
        with pytest.raises(grpc.aio.AioRpcError, match=r"session_id: this snapshot takes \d{4,} bytes") as caught:
            await harness.stub.SnapshotSession(pb.SnapshotSessionRequest(session_id="cam"))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_the_same_question_has_the_same_answer(harness):
    asked = question(options=options("zero", views=6))
    one, two = await harness.stub.Classify(asked), await harness.stub.Classify(asked)
    assert one.top == two.top
    asked.options.seed = 2**64 - 1
    assert (await harness.stub.Classify(asked)).zero_shot == one.zero_shot  # row 0 is the plain view, whatever the seed


async def test_a_deadline_that_passes_ends_the_call_and_frees_its_place(harness):
    async with busy(harness):
        assert await code_of(harness.stub.Classify(question(), timeout=0.3)) is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: harness.parts.admission.running_rows == 0)
    assert (await harness.stub.Classify(question())).top


async def test_calls_and_reports_are_observed(harness):
    await harness.stub.Classify(question())
    await harness.stub.GetServerInfo(pb.GetServerInfoRequest())
    await until(lambda: len(harness.of(Called)) == 4)
    assert {call.service for call in harness.of(Called)} == {"tta.v1.AdaptationService"}
    calls = [(call.method, call.code) for call in harness.of(Called)]
    assert sorted(calls, key=str) == [
        ("Classify", "OK"),
        ("Classify", None),
        ("GetServerInfo", "OK"),
        ("GetServerInfo", None),
    ]
    assert len(harness.of(Report)) == 1


async def test_answers_carry_plain_floats(harness):
    response = await harness.stub.Classify(
        question(labels=LABELS, options=pb.Options(strategy=choice("zero_shot"), top_k=1))
    )
    assert len(response.top) == len(response.zero_shot) == 1
    assert torch.tensor(response.top[0].logit).isfinite()
