"""The demo's lessons: a person corrects six answers, and the same frames are asked before and after."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from tta_client import Client, FrameAnswer, Options
from tta_client.camera import VirtualSource, encode_jpegs
from tta_client.camera.photographs import LABELS, find_photographs
from tta_client.types.frames import Frame

STRATEGIES = ("zero_shot", "tip_adapter", "taught")  # the first learns nothing: it must not change
LESSONS = 6  # corrections
FIT = 1.0  # seconds, more than enough for `taught` to be fitted to them beside its turns
STEP, SHOT = 5, 20  # of the camera's frames every fifth is asked; a photograph is shown for twenty


@dataclass(frozen=True, slots=True)
class Lessons:
    """What was taught, and how many of the same `frames` each strategy answered rightly before and after."""

    taught: tuple[tuple[str, str], ...]  # (the answer, what the person said)
    frames: int
    before: dict[str, int]
    after: dict[str, int]


def teach(client: Client, session: str = "demo-lessons") -> Lessons:
    """Asks, corrects mistakes in other framings of the same photographs, and asks again, about the same frames."""
    frames = [*_frames(seed=2)]
    before = _count_right(client, frames, session)
    taught = tuple(_teach_mistakes(client, session))
    time.sleep(FIT)
    return Lessons(taught, len(frames), before, _count_right(client, frames, session))


def lesson_lines(lessons: Lessons) -> Iterator[str]:
    """What was taught and what it changed, as plain lines."""
    yield ""
    yield f"Now a person corrects {len(lessons.taught)} answers, in other frames of the same photographs:"
    for number, (answer, truth) in enumerate(lessons.taught, 1):
        yield f"  {number}. not {answer}: {truth}"
    yield f"Right answers to {lessons.frames} frames without a lesson of their own, before and after:"
    for name in lessons.before:
        before, after = lessons.before[name], lessons.after[name]
        how = "learns nothing" if name == STRATEGIES[0] else f"{after - before:+d}"
        yield f"{name:>14}  {before:>3} -> {after:<3} {how}"


def _teach_mistakes(client: Client, session: str) -> Iterator[tuple[str, str]]:
    """Corrects wrong answers inside the stream, at most one of each photograph."""
    corrected = set[str]()
    stream = client.stream(_frames(seed=3), LABELS, STRATEGIES[0], session=session)
    for result in stream:
        truth = _truth(result.scene)
        if not isinstance(result, FrameAnswer) or result.answer.label == truth or truth in corrected:
            continue
        if len(corrected) < LESSONS:
            stream.teach(frame=result.frame_id, label=truth).result(60.0)
            corrected.add(truth)
            yield result.answer.label, truth


def _count_right(client: Client, pictures: Sequence[Frame], session: str) -> dict[str, int]:
    """Right answers by strategy; all of them see the same frames."""
    right: dict[str, int] = dict.fromkeys(STRATEGIES, 0)
    frames = (
        replace(frame, frame_id=len(STRATEGIES) * number + place, options=Options(strategy=name))
        for number, frame in enumerate(pictures, 1)
        for place, name in enumerate(STRATEGIES)
    )
    for result in client.stream(frames, LABELS, session=session):
        if isinstance(result, FrameAnswer):
            right[result.answer.strategy.name] += result.answer.label == _truth(result.scene)
    return right


def _frames(seed: int) -> Iterator[Frame]:
    """Some frames of a pass over all photographs; each seed has other framings and begins at another photograph."""
    camera = VirtualSource(frames=SHOT * len(find_photographs()), seed=seed, shot=SHOT)
    return encode_jpegs(islice(iter(camera), 0, None, STEP))


def _truth(scene: str) -> str:
    return scene.partition(",")[0]
