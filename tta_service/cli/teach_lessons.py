"""Teaches lessons to a running service, some in each message, and counts what becomes of them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.progress import track

from ..core.errors import TTAError
from .remote import Remote

MOST, BYTES = 50, 2 << 20  # lessons of one message
Named = tuple[str, Callable[[], Any]]  # what people call it, and a function that makes the `Lesson`


def teach(remote: Remote, named: Sequence[Named]) -> Counter[str]:
    """Teaches the lessons in their order; how many of what became of them. Names those that were refused on stderr."""
    counts, batch, size = Counter[str](), list[tuple[str, Any]](), 0
    err = Console(stderr=True)
    for name, make in track(named, "teaching", console=err, transient=True, disable=not err.is_terminal):
        try:
            lesson = make()
        except OSError as error:
            _refuse(counts, name, error.strerror or str(error))
            continue
        if batch and (len(batch) == MOST or size + lesson.ByteSize() > BYTES):
            _teach_batch(remote, batch, counts)
            batch, size = [], 0
        batch.append((name, lesson))
        size += lesson.ByteSize()
    if batch:
        _teach_batch(remote, batch, counts)
    return counts


def _teach_batch(remote: Remote, batch: Sequence[tuple[str, Any]], counts: Counter[str]) -> None:
    from ..wire.v1 import tta_pb2 as pb

    request = pb.TeachSessionRequest(**remote.about, lessons=[lesson for _, lesson in batch])
    try:
        results = remote.call("TeachSession", request).results
    except TTAError:
        if counts["taught"]:
            print(f"tta-service: {counts['taught']} lessons were taught before this:", file=sys.stderr)
        raise
    for (name, _), result in zip(batch, results, strict=True):
        if result.HasField("status"):
            _refuse(counts, name, result.status.message.partition(".")[2])
        else:
            counts.update(taught=1, replaced=result.replaced, stored=result.stored, apart=result.set_apart)


def _refuse(counts: Counter[str], name: str, reason: str) -> None:
    counts["refused"] += 1
    print(f"tta-service: {name}: {reason}", file=sys.stderr)
