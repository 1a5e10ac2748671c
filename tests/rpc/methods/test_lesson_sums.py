"""Sums between sites through gRPC: services without a common store learn from each other, and no picture travels."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from tests.rpc.conftest import LABELS, Harness, jpeg, open_harness, options, question
from tests.rpc.test_owners import code_of, two_keys
from tta_service.serving.sessions.lesson_groups import SITES
from tta_service.wire.keys import Role
from tta_service.wire.v1 import tta_pb2 as pb

NAMES = list(LABELS.label_set.names)


def picture(seed: int, label: str | None) -> pb.Lesson:
    lesson = pb.Lesson(image=pb.Image(encoded=jpeg(seed)), labels=LABELS)
    if label is None:
        lesson.none_of_these = True
    else:
        lesson.label = label
    return lesson


async def teach(harness: Harness, seeds: range, group: str = "belt") -> None:
    lessons = [picture(seed, NAMES[seed % 3]) for seed in seeds]
    reply = await harness.stub.TeachSession(pb.TeachSessionRequest(lesson_group=group, lessons=lessons))
    assert not any(result.HasField("status") for result in reply.results)


async def get(harness: Harness, **more: Any) -> pb.GetLessonSumsResponse:
    return await harness.stub.GetLessonSums(pb.GetLessonSumsRequest(**{"lesson_group": "belt", **more}))


async def put(harness: Harness, *sums: pb.LessonSums, site: str = "north", group: str = "belt") -> list[str]:
    request = pb.PutLessonSumsRequest(lesson_group=group, site=site, sums=sums)
    return list((await harness.stub.PutLessonSums(request)).began_anew)


async def ask(harness: Harness, session: str, strategy: str = "gda", group: str = "belt") -> pb.ClassifyResponse:
    asked = question(session_id=session, lesson_group=group, options=options(strategy))
    asked.options.top_k = 3
    return await harness.stub.Classify(asked)


def scores(answer: pb.ClassifyResponse) -> list[float]:
    return [one.logit for one in sorted(answer.top, key=lambda one: one.index)]


@asynccontextmanager
async def two_sites() -> AsyncIterator[tuple[Harness, Harness]]:
    async with open_harness() as here, open_harness() as there:
        yield here, there


async def test_two_sites_that_exchange_sums_answer_as_one_with_all_lessons() -> None:
    async with two_sites() as (here, there):
        await teach(here, range(6))
        await teach(there, range(6, 12))
        for one, other in ((here, there), (there, here)):
            assert await put(other, *(await get(one)).sums, site="other") == []
        await teach(here, range(12), "all")
        found = [scores(await ask(site, "cam")) for site in (here, there)]
        whole = scores(await ask(here, "judge", group="all"))
        np.testing.assert_allclose(found, [whole, whole], rtol=1e-3, atol=1e-2)
        given = (await get(here)).sums  # its own lessons alone: those of others would come back to them
        assert [sum(one.counts) for one in given] == [6]


@pytest.mark.parametrize("strategy", ["gda", "taught"])
async def test_memories_that_are_open_begin_anew_with_sums_and_without(strategy: str) -> None:
    async with two_sites() as (here, there):
        await teach(there, range(12))
        (sums,) = (await get(there)).sums
        before = await ask(here, "cam", strategy)
        await ask(here, "cam", "tip_adapter")
        await ask(here, "other", strategy, group="gate")
        assert await put(here, sums) == [strategy]
        after = await ask(here, "cam", strategy)
        assert after.session.memory_reset and scores(after) != scores(before)
        assert not (await ask(here, "cam", "tip_adapter")).session.memory_reset
        assert not (await ask(here, "other", strategy, group="gate")).session.memory_reset
        assert await put(here, sums) == []  # known already
        assert scores(await ask(here, "later", strategy)) == scores(after)
        assert await put(here) == [strategy]  # taken back
        assert scores(await ask(here, "cam", strategy)) == scores(before)


async def test_sums_are_of_lessons_with_a_class_by_label_set_and_way_of_encoding(harness: Harness) -> None:
    await teach(harness, range(4))
    info = await harness.stub.GetServerInfo(pb.GetServerInfoRequest())
    values = np.ones(info.dimension, "<f4").tobytes()
    features = pb.Features(views=1, dimension=info.dimension, values=values, model=info.model_fingerprint)
    more = [
        picture(20, None),
        pb.Lesson(image=pb.Image(features=features), label="cat", labels=LABELS),
        pb.Lesson(image=pb.Image(encoded=jpeg(21)), label="b", labels=pb.Labels(label_set=pb.LabelSet(names=["b"]))),
    ]
    await harness.stub.TeachSession(pb.TeachSessionRequest(lesson_group="belt", lessons=more))

    async def counts(**asked: Any) -> list[list[int]]:
        return sorted(list(one.counts) for one in (await get(harness, **asked)).sums)

    assert await counts() == [[1], [1, 0, 0], [2, 1, 1]]
    assert await counts(labels=LABELS) == [[1, 0, 0], [2, 1, 1]]
    assert await counts(labels=LABELS, client_features=True) == [[1, 0, 0]]
    assert await counts(labels=LABELS, reduction=pb.Reduction()) == [[2, 1, 1]]
    (sums,) = (await get(harness, labels=LABELS, client_features=True)).sums
    assert not sums.HasField("reduction") and sums.model == info.model_fingerprint
    np.testing.assert_allclose(np.frombuffer(sums.sums, "<f4")[: info.dimension], info.dimension**-0.5, rtol=1e-3)
    upper = np.frombuffer(sums.scatter, "<f4")
    assert len(upper) == info.dimension * (info.dimension + 1) // 2
    np.testing.assert_allclose(upper, 1 / info.dimension, rtol=1e-3)


async def test_noise_is_stated_counted_and_says_nothing_about_whether_there_are_lessons(harness: Harness) -> None:
    await teach(harness, range(3))
    noise = {"labels": LABELS, "epsilon": 0.5, "delta": 1e-6}
    (sums,) = (first := await get(harness, **noise)).sums
    assert (sums.epsilon, sums.delta, first.epsilon_given, first.delta_given) == (0.5, 1e-6, 0.5, 1e-6)
    unknown = pb.Labels(label_set=pb.LabelSet(names=["never", "taught"]))
    second = await get(harness, **{**noise, "labels": unknown})
    assert [len(one.counts) for one in second.sums] == [2]
    assert (second.epsilon_given, second.delta_given) == (1.0, 2e-6)
    assert math.isinf((await get(harness)).epsilon_given)
    await put(harness, sums, *second.sums)  # what is given can be taken


@pytest.mark.parametrize(
    ("asked", "field", "sentence"),
    [
        ({"lesson_group": ""}, "lesson_group", "which lesson group?"),
        ({"lesson_group": "a b"}, "lesson_group", "a lesson group's name is 1 to 128"),
        ({"lesson_group": "none"}, "lesson_group", "no lesson group 'none' of yours is open"),
        ({"epsilon": 1.0, "delta": 1e-5}, "labels", "of which label set?"),
        ({"client_features": True}, "labels", "of which label set?"),
        ({"labels": LABELS, "epsilon": 1.0}, "delta", "0 is not within 1e-15 and 0.1"),
        ({"labels": LABELS, "epsilon": math.nan, "delta": 0.1}, "epsilon", "nan is not within 0.001 and 100"),
        ({"labels": LABELS, "epsilon": -1.0, "delta": 0.1}, "epsilon", "-1 is not within"),
        ({"labels": LABELS, "epsilon": 1.0, "delta": 0.1, "clip": 2.0}, "clip", "2 is not within 0.01 and 1"),
        ({"clip": 0.5}, "clip", "without epsilon there is no noise"),
        (
            {"labels": LABELS, "client_features": True, "reduction": pb.Reduction()},
            "client_features",
            "features that clients sent have no reduction",
        ),
        ({"labels": pb.Labels(id="none")}, "labels.id", "no label set"),
    ],
    ids=str,
)
async def test_a_question_for_sums_that_makes_no_sense_is_refused(
    harness: Harness, asked: dict[str, Any], field: str, sentence: str
) -> None:
    await teach(harness, range(1))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await get(harness, **asked)
    assert str(refused.value.details()).startswith(f"{field}: ") and sentence in str(refused.value.details())


def floats(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


@pytest.mark.parametrize(
    ("change", "field", "sentence"),
    [
        ({"label_set": pb.LabelSet()}, "sums[0].label_set.names", ""),
        ({"model": "another"}, "sums[0].model", "these sums are of model 'another'"),
        ({"dimension": 3}, "sums[0].dimension", "dimension is 3; the model's is"),
        ({"counts": [1, 1]}, "sums[0].counts", "2 counts for 3 labels"),
        ({"counts": [1, 1, 2**64 - 1]}, "sums[0].counts", "at most 1000000000"),
        ({"sums": b"abc"}, "sums[0].sums", "3 bytes; labels × dimension × 4 is"),
        ({"scatter": b""}, "sums[0].scatter", "0 bytes; dimension × (dimension + 1) / 2 × 4 is"),
        ({"sums": math.nan}, "sums[0].sums", "not finite"),
        ({"scatter": math.inf}, "sums[0].scatter", "not finite"),
        ({"counts": [0, 0, 0]}, "sums[0].sums", "row 0 is longer than 0 lessons"),
        ({"scatter": 0.0}, "sums[0].scatter", "its trace is 0"),
        ({"epsilon": math.nan}, "sums[0].epsilon", "nan is no epsilon"),
        ({"epsilon": math.inf}, "sums[0].epsilon", "inf is no epsilon"),
        ({"delta": -1.0}, "sums[0].delta", "-1 is no delta"),
        ({"reduction": pb.Reduction(scope=9)}, "sums[0].reduction.scope", "no scope 9"),  # type: ignore[arg-type]
    ],
    ids=str,
)
async def test_hostile_sums_are_refused_with_their_field_and_change_nothing(
    harness: Harness, change: dict[str, Any], field: str, sentence: str
) -> None:
    await teach(harness, range(3))
    before = scores(await ask(harness, "cam"))
    (sums,) = (await get(harness)).sums
    for name, value in change.items():
        if name in ("sums", "scatter") and isinstance(value, float):
            value = floats(*[value] * (len(getattr(sums, name)) // 4))
        sums.ClearField(name)  # type: ignore[arg-type]
        sums.MergeFrom(pb.LessonSums(**{name: value}))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await put(harness, sums)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(refused.value.details()).startswith(f"{field}: ") and sentence in str(refused.value.details())
    assert scores(await ask(harness, "cam")) == before


async def test_a_site_has_a_name_and_each_label_set_once(harness: Harness) -> None:
    await teach(harness, range(3))
    (sums,) = (await get(harness)).sums
    for site, given, sentence in (
        ("", [sums], "site: which site gives these sums?"),
        ("a b", [sums], "site: a site's name is 1 to 128"),
        ("north", [sums, sums], "sums[1]: there are sums of this label set and reduction already"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await put(harness, *given, site=site)
        assert str(refused.value.details()).startswith(sentence)


async def test_sites_and_their_bytes_are_bounded_and_given_back(harness: Harness) -> None:
    await teach(harness, range(3))
    (sums,) = (await get(harness)).sums
    accounting = harness.parts.sessions.registry.accounting
    before = accounting.total
    for number in range(SITES):
        await put(harness, sums, site=f"site-{number}")
    assert accounting.total - before > SITES * (len(sums.sums) + len(sums.scatter))
    with pytest.raises(grpc.aio.AioRpcError, match=f"site: the group has sums of {SITES} sites") as refused:
        await put(harness, sums, site="one-more")
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    for number in range(SITES):
        await put(harness, site=f"site-{number}")
    assert accounting.total - before < 1024 * SITES  # that they took them back is kept
    await put(harness, sums, site="one-more")


async def test_sums_are_their_owners_and_need_the_right_to_teach(tmp_path: Path) -> None:
    async with two_keys(tmp_path) as (_, ann, bob):
        await ann.TeachSession(pb.TeachSessionRequest(lesson_group="belt", lessons=[picture(0, "cat")]))
        asked = pb.GetLessonSumsRequest(lesson_group="belt")
        (sums,) = (await ann.GetLessonSums(asked)).sums
        assert await code_of(bob.GetLessonSums(asked)) is grpc.StatusCode.NOT_FOUND
        await bob.PutLessonSums(pb.PutLessonSumsRequest(lesson_group="belt", site="north", sums=[sums]))
        own = await ann.PutLessonSums(pb.PutLessonSumsRequest(lesson_group="belt", site="north"))
        assert list(own.began_anew) == []  # it has none
    (tmp_path / "less").mkdir()
    async with two_keys(tmp_path / "less", Role.INFER) as (_, ann, _bob):
        assert await code_of(ann.GetLessonSums(asked)) is grpc.StatusCode.PERMISSION_DENIED
        assert await code_of(ann.PutLessonSums(pb.PutLessonSumsRequest())) is grpc.StatusCode.PERMISSION_DENIED
