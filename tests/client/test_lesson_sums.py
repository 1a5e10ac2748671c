"""Sums between sites by the client, and lessons of a group on their way elsewhere, against a service."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
from tta_client import AsyncClient, Client, LessonSums, TTAClientError

from tests.patience import PATIENCE

LABELS = ["red thing", "green thing", "blue thing"]
NUMBERS = count()


@pytest.fixture
def client(service: str) -> Iterator[Client]:
    with Client(service, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def group(client: Client) -> str:
    """A lesson group with two lessons a class."""
    name = f"sums-{next(NUMBERS)}"
    for seed in range(6):
        picture = np.random.default_rng(seed).integers(0, 255, (32, 32, 3)).astype(np.uint8)
        client.teach(group=name, image=picture, labels=LABELS, label=LABELS[seed % 3])
    return name


def test_sums_go_from_one_group_to_another(client: Client, group: str) -> None:
    given = client.get_lesson_sums(group, LABELS)
    (sums,) = given.sums
    assert sums.labels.names == tuple(LABELS) and sums.counts == (2, 2, 2) and math.isinf(given.epsilon_given)
    rows = np.frombuffer(sums.sums, "<f4").reshape(3, sums.dimension)
    assert (np.linalg.norm(rows, axis=1) <= 2.001).all() and sums.reduction is not None
    picture = np.zeros((32, 32, 3), np.uint8)

    def ask(session: str, where: str) -> list[float]:
        return [one.logit for one in client.classify(picture, LABELS, "gda", session=session, lesson_group=where).top]

    plain, taught = ask(f"{group}-b", f"{group}-b"), ask(f"{group}-a", group)
    assert taught != plain
    told = client.put_lesson_sums(f"{group}-b", "north", given.sums)
    assert told.began_anew == ("gda",) and not told.stored
    assert ask(f"{group}-b", f"{group}-b") == pytest.approx(taught, rel=1e-3)
    client.put_lesson_sums(f"{group}-b", "north", [])
    assert ask(f"{group}-b", f"{group}-b") == plain


def test_private_sums_state_their_privacy(service: str, group: str) -> None:
    async def both() -> Any:
        async with AsyncClient(service, timeout=PATIENCE) as client:
            labels = (await client.put_labels(LABELS)).id
            first = await client.get_lesson_sums(group, labels, epsilon=2.0, delta=1e-6, clip=0.5)
            await client.put_lesson_sums(group, "north", first.sums)
            return first, await client.get_lesson_sums(group, LABELS, reducer="none", epsilon=1.0, delta=1e-6)

    first, second = asyncio.run(both())
    assert [(one.epsilon, one.delta) for one in first.sums + second.sums] == [(2.0, 1e-6), (1.0, 1e-6)]
    assert second.epsilon_given == 3.0 and second.delta_given == pytest.approx(2e-6)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"epsilon": "much"}, "epsilon"),
        ({"epsilon": 1.0, "delta": 1e-5}, "labels"),
        ({"labels": 7}, "labels"),
        ({"labels": LABELS, "reducer": "nobody's"}, "reduction.reducer.name"),
        ({"clip": math.nan}, "clip"),
    ],
    ids=str,
)
def test_a_wrong_question_for_sums_is_refused_by_its_field(
    client: Client, group: str, asked: dict[str, Any], field: str
) -> None:
    with pytest.raises(TTAClientError) as error:
        client.get_lesson_sums(group, **asked)
    assert error.value.field == field


def test_wrong_sums_are_refused_by_their_field(client: Client, group: str) -> None:
    (sums,) = client.get_lesson_sums(group, LABELS).sums
    values = {name: getattr(sums, name) for name in LessonSums.__dataclass_fields__}
    for site, one, field in (
        ("north", b"sums", "sums[0]"),
        ("north", LessonSums(**{**values, "counts": (-1, 1, 1)}), "sums[0]"),
        ("north", LessonSums(**{**values, "model": "another"}), "sums[0].model"),
        ("a b", sums, "site"),
        ("", sums, "site"),
    ):
        with pytest.raises(TTAClientError) as error:
            client.put_lesson_sums(group, site, [one])  # type: ignore[list-item]
        assert error.value.field == field


def test_lessons_of_a_group_are_taught_to_another_one(client: Client, group: str) -> None:
    exported = client.export_lessons(group=group)
    results = client.import_lessons(group=f"{group}-copy", exported=exported)
    assert len(results) == 6 and not any(isinstance(one, TTAClientError) for one in results)
    copied, lessons = client.lessons(group=f"{group}-copy"), client.lessons(group=group)
    assert [(one.example_id, one.label) for one in copied] == [(one.example_id, one.label) for one in lessons]
    assert client.export_lessons(group=f"{group}-copy") == exported
