"""Confidence, deferring and stable labels through gRPC, from lessons about frames that the server drew."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from tests.rpc.conftest import LABELS, Harness, choice, frame, jpeg, open_harness, opening, question
from tta_service.wire.v1 import tta_pb2 as pb

NAMES = list(LABELS.label_set.names)


async def classify(harness: Harness, seed: int, session: str = "gate", **options: Any) -> pb.ClassifyResponse:
    given = pb.Options(**{"strategy": choice("taught"), **options})
    image = pb.Image(encoded=jpeg(seed))
    return await harness.stub.Classify(question(image=image, session_id=session, options=given))


async def questions(harness: Harness, session: str = "gate") -> list[pb.Question]:
    return list((await harness.stub.ListQuestions(pb.ListQuestionsRequest(session_id=session))).questions)


async def teach(harness: Harness, example: str, label: str, session: str = "gate") -> None:
    lesson = pb.Lesson(example_id=example, label=label)
    (result,) = (await harness.stub.TeachSession(pb.TeachSessionRequest(session_id=session, lessons=[lesson]))).results
    assert not result.HasField("status"), result.status.message


async def draw_and_teach(harness: Harness, wanted: int, **options: Any) -> None:
    """Frames until so many were drawn and answered by a person, who says what the picture's seed says."""
    taught = 0
    for seed in range(2000):
        answer = await classify(harness, seed, **options)
        if not answer.asked:
            continue
        (asked,) = await questions(harness)
        await teach(harness, asked.example_id, NAMES[seed % 3])
        taught += asked.reason == pb.Question.REASON_UNIFORM
        if taught == wanted:
            break
    assert taught == wanted
    await classify(harness, 0, **options)  # which begins the calibration
    await harness.parts.calibrator.wait()


async def test_without_options_the_confidence_is_the_score_and_nothing_is_decided(harness: Harness) -> None:
    answer = await classify(harness, 1)
    given = answer.confidence
    assert given.confidence == pytest.approx(answer.top[0].score, abs=1e-6)
    assert (given.method, given.decision, given.lessons) == (pb.CALIBRATE_NONE, pb.DECISION_ANSWER, 0)
    assert not given.prediction_set and not given.guaranteed and not given.stable_label and not answer.asked
    assert -1 <= given.cosine <= 1 and not given.HasField("cosine_quantile")
    for seed in range(2, 40):
        answer = await classify(harness, seed)
        assert 0 <= answer.confidence.cosine_quantile <= 1 and not answer.asked
    assert await questions(harness) == []


async def test_the_zero_shot_range_changes_the_confidence_alone(harness: Harness) -> None:
    for strategy in ("zero_shot", "zero", "tda"):
        plain = await classify(harness, 3, session="", strategy=choice(strategy))
        options: dict[str, Any] = {"strategy": choice(strategy), "calibrate": pb.CALIBRATE_ZERO_SHOT_RANGE}
        drawn = await classify(harness, 3, session="", **options)
        assert list(drawn.top) == list(plain.top) and drawn.confidence.method == pb.CALIBRATE_ZERO_SHOT_RANGE
        if strategy == "zero_shot":
            assert drawn.confidence.confidence == pytest.approx(plain.top[0].score, abs=1e-6)


@pytest.mark.parametrize("strategy", ["taught", "zero_shot"])
async def test_lessons_about_drawn_frames_calibrate_and_only_those(harness: Harness, strategy: str) -> None:
    options: dict[str, Any] = {"strategy": choice(strategy), "calibrate": pb.CALIBRATE_LESSONS}
    first = await classify(harness, 5000, **options)
    await teach(harness, first.example_id, "dog")  # nobody drew it
    await draw_and_teach(harness, 3, **options)
    counted = harness.parts.sessions.counters
    assert sum(counted.drawn_answers.values()) == 3 and 0 < counted.drawn_confidence < 3
    answer = await classify(harness, 1, **options)
    assert (answer.confidence.method, answer.confidence.lessons) == (pb.CALIBRATE_LESSONS, 3)
    assert 0 < answer.confidence.confidence < 1


async def test_prediction_sets_come_with_lessons_enough_and_defer_where_they_are_plural(harness: Harness) -> None:
    options: dict[str, Any] = {"strategy": choice("zero_shot"), "coverage": 0.5}  # one lesson is enough
    before = await classify(harness, 0, **options)
    assert not before.confidence.guaranteed and before.confidence.decision == pb.DECISION_ANSWER
    await draw_and_teach(harness, 6, **options)
    decided = set()
    for seed in range(100, 130):
        answer = await classify(harness, seed, **options)
        given = answer.confidence
        assert given.guaranteed and given.lessons == 6
        assert (given.decision == pb.DECISION_ANSWER) == (list(given.prediction_set) == [answer.top[0].index])
        if given.decision == pb.DECISION_DEFER:
            assert answer.asked
        decided.add(given.decision)
    reasons = {one.reason for one in await questions(harness)}
    assert pb.Question.REASON_DEFERRED in reasons or decided == {pb.DECISION_ANSWER}


async def test_an_unsure_answer_is_deferred_and_asked_about(harness: Harness) -> None:
    sure = await classify(harness, 1, defer_below=0.0)
    assert sure.confidence.decision == pb.DECISION_ANSWER and not sure.asked
    unsure = await classify(harness, 1, defer_below=1.0)
    assert unsure.confidence.decision == pb.DECISION_DEFER and unsure.asked
    assert [one.reason for one in await questions(harness)] == [pb.Question.REASON_DEFERRED]


async def test_a_foreign_cosine_is_none_of_these(harness: Harness) -> None:
    cosine = (await classify(harness, 1)).confidence.cosine
    for below, decision in ((cosine - 0.01, pb.DECISION_ANSWER), (cosine + 0.01, pb.DECISION_NONE_OF_THESE)):
        assert (await classify(harness, 1, none_below=below)).confidence.decision == decision


@pytest.mark.parametrize("strategy", ["tda", "taught"])
async def test_a_frame_that_is_not_admitted_is_answered_and_not_remembered(harness: Harness, strategy: str) -> None:
    given: dict[str, Any] = {"strategy": choice(strategy)}
    for seed in range(20):
        await classify(harness, seed, **given)
        await classify(harness, seed, session="other", **given)
    cosines = [(await classify(harness, seed, session="", **given)).confidence.cosine for seed in range(60)]
    foreign = cosines.index(min(cosines[20:]))
    kept_out = await classify(harness, foreign, admit_below=0.999, **given)
    assert list(kept_out.top) == list((await classify(harness, foreign, session="other", **given)).top)
    twice = [await classify(harness, foreign, admit_below=0.999, **given) for _ in range(2)]
    assert list(twice[0].top) == list(twice[1].top) == list(kept_out.top)
    listed = (await harness.stub.ListSessions(pb.ListSessionsRequest())).sessions
    assert [one.rejections for one in listed if one.frames > 21] == [3], "those of `admit_below`"


async def test_one_odd_frame_does_not_flip_a_stable_label(harness: Harness) -> None:
    smooth = pb.Smooth(window=4, enter=0.3, leave=0.2)
    top = {seed: (await classify(harness, seed, session="")).top[0] for seed in range(60)}
    usual = next(seed for seed in top if top[seed].score > 0.5)
    odd = next(seed for seed in top if top[seed].label != top[usual].label)

    async def frames() -> AsyncIterator[pb.ClassifyStreamRequest]:
        options = pb.Options(strategy=choice("zero_shot"), smooth=smooth)
        yield opening(options=options, policy=pb.OpenStream.POLICY_BLOCK)
        for id, seed in enumerate([usual] * 5 + [odd] + [usual] * 3 + [odd] * 4):
            yield frame(id, jpeg(seed))

    replies = [one.answer.response async for one in harness.stub.ClassifyStream(frames()) if one.HasField("answer")]
    stable = [one.confidence.stable_label for one in replies]
    assert stable[0] == "" and stable[4:9] == [top[usual].label] * 5 and replies[5].top[0].label == top[odd].label
    assert stable[-1] != top[usual].label
    before = ["", *stable]
    assert [one.confidence.changed for one in replies] == [now != then for then, now in zip(before, stable)]


async def test_a_restored_session_goes_on_with_its_confidence() -> None:
    options: dict[str, Any] = {"calibrate": pb.CALIBRATE_LESSONS, "smooth": pb.Smooth()}
    async with open_harness() as one, open_harness() as other:
        await draw_and_teach(one, 4, **options)
        snapshot = (await one.stub.SnapshotSession(pb.SnapshotSessionRequest(session_id="gate"))).snapshot
        await other.stub.RestoreSession(pb.RestoreSessionRequest(snapshot=snapshot))
        expected = await classify(one, 77, **options)
        await classify(other, 77, session="elsewhere", **options)
        await other.parts.calibrator.wait()
        for _ in range(2):  # the first one begins the calibration
            again = await classify(other, 77, **options)
            await other.parts.calibrator.wait()
        assert again.confidence.lessons == expected.confidence.lessons == 4
        assert again.confidence.cosine_quantile == pytest.approx(expected.confidence.cosine_quantile, abs=0.05)
        assert again.confidence.confidence == pytest.approx(expected.confidence.confidence, abs=1e-3)
        assert again.confidence.stable_label == expected.confidence.stable_label


@pytest.mark.parametrize(
    ("options", "field", "sentence"),
    [
        ({"calibrate": 9}, "calibrate", "there is no choice 9"),
        ({"coverage": 1.0}, "coverage", "1 is not between 0 and 1"),
        ({"coverage": math.nan}, "coverage", "nan is not between 0 and 1"),
        ({"defer_below": 1.5}, "defer_below", "1.5 is not within 0 and 1"),
        ({"none_below": -2.0}, "none_below", "-2 is not within -1 and 1"),
        ({"admit_below": 1.0}, "admit_below", "1 is not at least 0 and below 1"),
        ({"asking": pb.Asking()}, "asking.per_hour", "0 is not above 0 and at most 1000"),
        ({"asking": pb.Asking(per_hour=math.nan)}, "asking.per_hour", "nan is not above 0 and at most 1000"),
        ({"smooth": pb.Smooth(window=1)}, "smooth.window", "1 frames; a window has 2 to 64"),
        ({"smooth": pb.Smooth(enter=0.0)}, "smooth.enter", "0 is not above 0 and at most 1"),
        ({"smooth": pb.Smooth(leave=0.9)}, "smooth.leave", "0.9 is not within 0 and `enter`, 0.5"),
        (
            {"smooth": pb.Smooth(window=2)},
            "smooth",
            "one odd frame of 2 could flip the state: enter is above 0.5, leave at most 0.5",
        ),
    ],
)
async def test_bad_options_are_refused_with_the_same_sentence_by_calls_and_streams(
    harness: Harness, options: dict[str, Any], field: str, sentence: str
) -> None:
    async def frames() -> AsyncIterator[pb.ClassifyStreamRequest]:
        yield opening(options=pb.Options(**options))

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await harness.stub.Classify(question(options=pb.Options(**options)))
    assert refused.value.details() == f"options.{field}: {sentence}"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        [reply async for reply in harness.stub.ClassifyStream(frames())]
    assert refused.value.details() == f"open.options.{field}: {sentence}"
