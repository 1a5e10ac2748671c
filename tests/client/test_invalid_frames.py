"""Whatever is wrong with one frame, its neighbours are answered, and the frame itself fails with the field to blame."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tta_client import (
    AsyncClient,
    Cascade,
    Choice,
    Client,
    Features,
    Frame,
    FrameAnswer,
    FrameFailure,
    LabelSet,
    Options,
    Reduction,
    Statistics,
)

from tests.client.camera.clips import jpeg
from tests.patience import PATIENCE

NAMES = ("cat", "dog", "bird")
GOOD = jpeg(np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8))
GRAY = np.full((48, 64), 77, np.uint8)
BOUND = 10.0  # seconds
Watch = Callable[..., list[Any]]


def watch(address: str, frames: Any, **how: Any) -> list[Any]:
    with Client(address) as client:
        return list(client.stream(frames, NAMES, "zero_shot", **how))


def watch_async(address: str, frames: Any, **how: Any) -> list[Any]:
    async def run() -> list[Any]:
        async with AsyncClient(address) as client:
            return [result async for result in client.stream(frames, NAMES, "zero_shot", **how)]

    return asyncio.run(run())


both = pytest.mark.parametrize("watch", [watch, watch_async])
policies = pytest.mark.parametrize("policy", ["block", "latest", "drop_oldest"])


class Raising:
    """An array that cannot be read when it comes to it."""

    dtype, shape = np.dtype("uint8"), (2, 2, 3)

    def tobytes(self) -> bytes:
        raise RuntimeError("the buffer is gone")


class RaisingId:
    def __index__(self) -> int:
        raise ZeroDivisionError


def missing(folder: Path) -> Any:
    return folder / "nowhere.jpg"


def below_a_file(folder: Path) -> Any:
    (folder / "good.jpg").write_bytes(GOOD)
    return folder / "good.jpg" / "frame.jpg"


def pipe(folder: Path) -> Any:
    os.mkfifo(folder / "pipe.jpg")
    return folder / "pipe.jpg"


INVALID: dict[str, tuple[Any, str]] = {  # the image, or what replaces fields of a frame; the field to blame
    "none": (None, "frame.image"),
    "missing": (missing, "frame.image"),
    "folder": (lambda folder: folder, "frame.image"),
    "below a file": (below_a_file, "frame.image"),
    "pipe": (pipe, "frame.image"),
    "no path": ("a\0b", "frame.image"),
    "float": (np.zeros((8, 8, 3)), "frame.image"),
    "five channels": (np.zeros((8, 8, 5), np.uint8), "frame.image"),
    "number": (7, "frame.image"),
    "raising": (Raising(), "frame.image"),
    "double features": (Features(np.zeros((1, 8)), "m"), "frame.image"),
    "no bytes": (b"", "frame.image.encoded"),
    "no picture": (b"no picture", "frame.image.encoded"),
    "empty array": (np.zeros((0, 8, 3), np.uint8), "frame.image.raw"),
    "negative id": ({"frame_id": -1}, "frame.frame_id"),
    "repeated id": ({"frame_id": 1}, "frame.frame_id"),
    "id beyond 64 bits": ({"frame_id": 2**64}, "frame.frame_id"),
    "id no number": ({"frame_id": "two"}, "frame.frame_id"),
    "id not whole": ({"frame_id": np.float64("nan")}, "frame.frame_id"),
    "captured never": ({"captured": None}, "frame.captured"),
    "no clock": ({"wall_ns": None}, "frame.capture_time"),
    "a clock beyond all years": ({"wall_ns": 2**80}, "frame.capture_time"),
    "an id that raises": ({"frame_id": RaisingId()}, "frame.frame_id"),
    "labels twice": ({"labels": ["a", "a"]}, "frame.labels.label_set.names[1]"),
    "labels no names": ({"labels": 5}, "frame.labels"),
    "labels of numbers": ({"labels": [1, 2]}, "frame.labels"),
    "template": ({"labels": LabelSet(("a", "b"), ("no place",))}, "frame.labels.label_set.templates[0]"),
    "unknown id": ({"labels": "0" * 32}, "frame.labels.id"),
    "no options": ({"options": "mta"}, "frame.options"),
    "top_k": ({"options": Options(top_k=-1)}, "frame.options.top_k"),
    "seed": ({"options": Options(seed=-1)}, "frame.options.seed"),
    "on_deadline": ({"options": Options(on_deadline="sometimes")}, "frame.options.on_deadline"),  # type: ignore[arg-type]
    "scope": ({"options": Options(reducer=Reduction(Choice("tome"), "some"))}, "frame.options.reduction.scope"),  # type: ignore[arg-type]
    "parameter": ({"options": Options(Choice("mta", {"views": 1j}))}, "frame.options.strategy.parameters.views"),
    "above": ({"options": Options(cascade=Cascade(Choice("mta"), "much"))}, "frame.options.cascade.above"),  # type: ignore[arg-type]
    "strategy": ({"options": Options("nobody")}, "frame.options.strategy.name"),
}


@both
@pytest.mark.parametrize("kind", INVALID)
def test_one_frame_fails_and_the_others_are_answered(service: str, tmp_path: Path, watch: Watch, kind: str) -> None:
    change, field = INVALID[kind]
    frame = Frame(2, GOOD)
    frame = (
        replace(frame, **change)
        if isinstance(change, dict)
        else replace(frame, image=change(tmp_path) if callable(change) else change)
    )
    began, statistics = time.monotonic(), Statistics()
    results = watch(service, [Frame(1, GOOD), frame, Frame(3, GOOD)], statistics=statistics)
    assert time.monotonic() - began < BOUND
    assert [type(r) for r in results] == [FrameAnswer, FrameFailure, FrameAnswer]
    failure = results[1]
    assert failure.frame_id == frame.frame_id or failure.frame_id != failure.frame_id
    assert failure.error.field == field and failure.error.sentence.startswith(f"{field}: ")
    assert (statistics.answers, statistics.failures, statistics.reconnects) == (2, 1, {})
    assert statistics.sent == 2 or failure.error.__cause__ is None  # what the service judged was sent


@both
def test_whatever_is_a_picture_is_accepted(service: str, tmp_path: Path, watch: Watch) -> None:
    pillow = pytest.importorskip("PIL.Image")
    (tmp_path / "good.jpg").write_bytes(GOOD)
    colour = np.stack([GRAY, GRAY // 2, GRAY // 3], 2)
    pictures = [GOOD, bytearray(GOOD), memoryview(GOOD), tmp_path / "good.jpg", str(tmp_path / "good.jpg")]
    pictures += [GRAY, GRAY[..., None], colour, np.dstack([colour, GRAY]), np.asfortranarray(colour), colour[::-1, ::2]]
    pictures += [pillow.fromarray(colour).convert(mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "CMYK", "1")]
    results = watch(service, pictures)
    assert [r.frame_id for r in results] == list(range(1, len(pictures) + 1))
    assert all(isinstance(r, FrameAnswer) for r in results), results
    scores = [r.answer.score for r in results]
    for same in ((0, 1, 2, 3, 4), (5, 6), (7, 8, 9, 11, 12)):
        assert [scores[place] for place in same] == pytest.approx([scores[same[0]]] * len(same), abs=1e-5)


@both
def test_numbers_of_numpy_are_numbers(service: str, watch: Watch) -> None:
    mta = Choice("mta", {"views": np.int64(4), "lambda_entropy": np.float32(0.5)})
    own = Options(mta, top_k=np.uint8(2), seed=np.int64(7), explain=np.bool_(False), cascade=None)  # type: ignore[arg-type]
    cascade = Options("zero_shot", cascade=Cascade(mta, np.float32(0.5)), top_k=np.float64(1))  # type: ignore[arg-type]
    frames = [
        Frame(np.uint64(3), GOOD, captured=np.float64(1.0), wall_ns=np.int64(5)),  # type: ignore[arg-type]
        Frame(np.float32(4), GOOD, options=own),  # type: ignore[arg-type]
        GOOD,  # the next one
        Frame(np.array(9), GOOD, options=cascade, labels=np.array(["a", "b"])),  # type: ignore[arg-type]
    ]
    results = watch(service, frames, buffer=np.int64(8), frame_budget=np.float32(60), in_flight=np.int64(2))
    assert [r.frame_id for r in results] == [3, 4, 5, 9] and all(type(r.frame_id) is int for r in results)
    assert all(isinstance(r, FrameAnswer) for r in results), results
    assert [len(r.answer.top) for r in results] == [3, 2, 3, 1] and results[0].captured_ns == 5


@both
@policies
def test_failures_of_a_slow_camera_are_reported_at_once(service: str, watch: Watch, policy: str) -> None:
    """And in their places: the frames around them are answered before and after."""
    reported = threading.Event()

    class Noted(Statistics):
        @property
        def failures(self) -> int:
            return self._failures

        @failures.setter
        def failures(self, number: int) -> None:
            self._failures = number
            if number == 3:
                reported.set()

    def camera() -> Iterator[Any]:
        yield GOOD
        yield from (None, Frame(2, GOOD), "nowhere")  # the second number twice: it has no place of its own
        assert reported.wait(PATIENCE)
        yield GOOD

    results = watch(service, camera(), policy=policy, statistics=Noted())
    assert [(r.frame_id, isinstance(r, FrameAnswer)) for r in results] == [
        (1, True), (2, False), (2, False), (3, False), (4, True)
    ]  # fmt: skip


@both
@policies
def test_invalid_frames_are_read_no_faster_than_their_failures_are_taken(
    service: str, watch: Watch, policy: str
) -> None:
    taken = 0

    def camera() -> Iterator[Any]:
        nonlocal taken
        while taken < 300:
            taken += 1
            yield None

    results = watch(service, camera(), policy=policy)
    assert [r.frame_id for r in results] == list(range(1, 301))
    taken, held = 0, []

    def slowly() -> None:
        with Client(service) as client, client.stream(camera(), NAMES, policy=policy) as stream:
            for _ in zip(range(5), stream):
                time.sleep(0.05)
                held.append(taken)

    slowly()
    assert max(held) <= 5 + 8 + 2  # reported, waiting, and in the hand of the sender


FATAL = [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), MemoryError(), OSError("out")]


@both
@pytest.mark.parametrize("error", FATAL, ids=repr)
def test_whatever_the_source_raises_ends_the_stream(service: str, watch: Watch, error: BaseException) -> None:
    """After the answers that were still to come."""
    seen: list[Any] = []

    class Camera:
        """No generator, which would change some of them."""

        def __iter__(self) -> Camera:
            return self

        def __next__(self) -> bytes:
            if len(seen) < 2:
                seen.append(0)
                return GOOD
            raise error

    began = time.monotonic()
    with pytest.raises(type(error)) as caught:
        watch(service, Camera())
    assert caught.value is error and time.monotonic() - began < BOUND


@pytest.mark.parametrize("error", FATAL, ids=repr)
async def test_whatever_an_async_source_raises_ends_the_stream(service: str, error: BaseException) -> None:
    class Camera:
        left = 2

        def __aiter__(self) -> Camera:
            return self

        async def __anext__(self) -> bytes:
            await asyncio.sleep(0)
            self.left -= 1
            if self.left < 0:
                raise error
            return GOOD

    results, caught = [], None
    async with AsyncClient(service) as client:
        try:
            async for result in client.stream(Camera(), NAMES):
                results.append(result)  # noqa: PERF401 - what came before the error counts
        except BaseException as raised:
            caught = raised
    assert caught is error and [r.frame_id for r in results] == [1, 2]


@both
def test_no_id_is_left_after_the_last_one(service: str, watch: Watch):
    results = watch(service, [GOOD, Frame(2**64 - 1, GOOD), GOOD])
    assert [type(result) for result in results] == [FrameAnswer, FrameAnswer, FrameFailure]
    assert results[2].error.field == "frame.frame_id"
