"""What a session warns of, and when it asks because of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from tests.telemetry.reports import make_report
from tta_service.core.caution import Caution
from tta_service.core.trust import Trust
from tta_service.serving.sessions.watch import ASK_EVERY, MOST_WAITING, SessionWatch, rank_signs

CLASSES = 10


def frames(count: int, best: Iterable[int], sure: float, seed: int = 0) -> Iterator[Tensor]:
    """Logits [c] of noise, with `sure` more for one class of `best` in turn."""
    draw, classes = torch.Generator().manual_seed(seed), list(best)
    for i in range(count):
        logits = 0.3 * torch.randn(CLASSES, generator=draw)
        logits[classes[i % len(classes)]] += sure
        yield logits


def watch(plain: Iterable[Tensor], label: int | None = None, taught: bool = False) -> list[tuple[Caution, ...]]:
    """The warnings of each frame, whose answers are plain CLIP's or always that `label`."""
    one, answer = SessionWatch(), torch.eye(CLASSES)[label or 0]
    reports = (make_report(logits if label is None else answer, logits) for logits in plain)
    return [one.observe(report, taught) for report in reports]


def kinds(cautions: tuple[Caution, ...]) -> list[str]:
    return [caution.kind.value for caution in cautions]


@pytest.mark.parametrize(
    ("best", "sure", "expected"),
    [
        (range(CLASSES), 6.0, []),  # a known world
        (range(2), 6.0, []),  # a known world of two classes
        (range(1), 6.0, []),  # one lasting scene
        (range(1), 1.0, ["few_classes"]),  # a collapsed world: the same unsure answer to every picture
        (range(CLASSES), 2.5, ["foreign"]),  # answers differ, and none is sure
    ],
)
def test_a_world_is_told_by_what_answers_say_about_pictures(best: range, sure: float, expected: list[str]) -> None:
    found = watch(frames(300, best, sure))
    assert kinds(found[-1]) == expected
    assert not any(found[:50]), "too few frames to tell"


def test_pictures_unlike_the_first_are_foreign_even_where_the_answers_are_sure() -> None:
    known = [logits + 20 for logits in frames(300, range(CLASSES), 6.0)]
    other = list(frames(600, range(CLASSES), 6.0, seed=1))
    back = [logits + 20 for logits in frames(1500, range(CLASSES), 6.0, seed=2)]
    found = watch([*known, *other, *back])
    assert not any(found[:300]) and kinds(found[899]) == ["foreign"] and not found[-1]
    assert "than the first" in found[899][0].message


def test_small_changes_of_a_scene_that_stood_still_are_not_foreign() -> None:
    still = [logits + 20 for logits in frames(1, range(1), 6.0)] * 300
    assert not any(watch([*still, *(logits - 1 for logits in still)]))


def test_flips_and_deferred_answers_are_counted_and_drift_is_in_deviations_of_the_first_frames() -> None:
    one, plain = SessionWatch(), list(frames(300, range(CLASSES), 6.0))
    for logits in plain[:200]:
        one.observe(make_report(torch.eye(CLASSES)[3], logits), taught=False)
    assert (one.statistics.flips, one.statistics.deferred, one.statistics.drift) == (180, 0, None)
    left = Trust(0.5, "none", 0, 0.2, None, "defer")
    one.observe(replace(make_report(plain[0], plain[0]), trust=left), taught=False)
    assert (one.statistics.flips, one.statistics.deferred) == (180, 1)
    for logits in plain:
        one.observe(make_report(logits, logits), taught=False)
    assert abs(one.statistics.drift or 9) < 0.5
    for logits in plain:
        one.observe(make_report(logits - 3, logits - 3), taught=False)
    assert (one.statistics.drift or 0) > 3


def test_a_memory_of_few_classes_is_warned_of_unless_a_person_has_taught_it() -> None:
    (caution,) = watch(frames(200, range(CLASSES), 6.0), label=3)[-1]
    assert caution.kind == "few_classes" and "1.0 classes" in caution.message and "10.0" in caution.message
    assert not watch(frames(200, range(CLASSES), 6.0), label=3, taught=True)[-1]


def test_untaught_names_are_warned_of_at_once() -> None:
    (caution,) = SessionWatch().observe(make_report(unseen=("gizmo",)), taught=False)
    assert caution.kind == "untaught_names" and "1 of 3 names" in caution.message


def test_each_label_set_is_watched_by_itself() -> None:
    one, known = SessionWatch(), make_report(torch.tensor([9.0, 0.0]), torch.tensor([9.0, 0.0]))
    for logits in frames(200, range(1), 1.0):
        assert not one.observe(known, taught=False)
        last = one.observe(make_report(logits, logits), taught=False)
    assert kinds(last) == ["few_classes"]


def test_answers_that_are_not_numbers_and_one_name_alone_are_left_out() -> None:
    one, nothing = SessionWatch(), torch.full((CLASSES,), float("nan"))
    for logits in frames(200, range(1), 1.0):
        one.observe(make_report(nothing, nothing), taught=False)
        one.observe(make_report(torch.ones(1), torch.ones(1)), taught=False)
        last = one.observe(make_report(logits, logits), taught=False)
    assert kinds(last) == ["few_classes"]


def test_a_collapsed_world_asks_now_and_then_until_enough_questions_wait() -> None:
    one, waiting, asked = SessionWatch(), 0, list[int]()
    for i, logits in enumerate(frames(2000, range(1), 1.0)):
        if one.should_ask(one.observe(make_report(logits, logits), taught=False), partial(int, waiting)):
            waiting += 1
            asked.append(i)
    assert len(asked) == MOST_WAITING
    assert all(later - earlier > ASK_EVERY for earlier, later in pairwise(asked))


def test_other_warnings_ask_nobody() -> None:
    known = torch.tensor([20.0, 0.0, 0.0])
    one, report = SessionWatch(), make_report(known, known, unseen=("gizmo",))
    assert not any(one.should_ask(one.observe(report, taught=False), lambda: 0) for _ in range(300))


def watched(flipped: int, rejected: int = 0, frames: int = 120, resets: int = 0) -> SessionWatch:
    """Of so many frames the last ones were flips, the last ones rejected, and the first ones began a memory anew."""
    one, plain = SessionWatch(), torch.eye(CLASSES)[0]
    for place in range(frames):
        report = make_report(torch.eye(CLASSES)[int(frames - place <= flipped)], plain)
        session = replace(report.session, memory_reset=place < resets)
        one.observe(replace(report, rejected=frames - place <= rejected, session=session), taught=False)
    return one


def test_signs_are_ranked_over_sessions_and_a_few_frames_are_no_large_share():
    many = [watched(flipped) for flipped in (12, 60, 0, 30, 24, 6)]
    found = rank_signs([*many, watched(20, frames=20), watched(0, rejected=90, resets=2)], 4)
    assert {rank: value for (sign, rank), value in found.items() if sign == "flips"} == pytest.approx(
        {"1": 60 / 120, "2": 30 / 120, "3": 20 / 100, "4": 24 / 120}
    )
    assert found["rejections", "1"] == pytest.approx(90 / 120) and found["rejections", "2"] == 0
    assert (found["resets", "1"], found["resets", "2"]) == (2, 0)
    assert not any(sign == "drift" for sign, _ in found), "there was no drift to measure"
    assert not rank_signs([])


def test_a_sign_is_alarming_once_until_it_has_fallen_to_a_half():
    one, plain = SessionWatch(), torch.eye(CLASSES)[0]
    told = list[tuple[int, str]]()
    for place in range(1400):
        flipped = place < 200 or place >= 900
        one.observe(make_report(torch.eye(CLASSES)[int(flipped)], plain), taught=False)
        told += [(place, sign) for sign in one.new_alarms()]
    assert [sign for _, sign in told] == ["flips", "flips"]
    assert told[0][0] < 200 and told[1][0] > 900


def test_rejections_and_resets_are_counted():
    statistics = watched(0, rejected=3, resets=2).statistics
    assert (statistics.rejections, statistics.resets) == (3, 2)
    guarded = SessionWatch()
    guarded.observe(replace(make_report(), guarded=True), taught=False)
    assert guarded.statistics.rejections == 1
