"""Whose sessions and lesson groups give way when there is no room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from ...core.errors import MemoryFull
from .lesson_groups import LessonGroup
from .session import Session

Size = Callable[[Session | LessonGroup], int]


def candidates(
    everyone: Sequence[Session | LessonGroup], size: Size, limit: int, owner: str, wanted: int
) -> Iterator[Session | LessonGroup]:
    """Those that may be evicted for `wanted` more of that owner, in the order in which they are.

    They come in the order of their last use, `size` is what each takes of `limit`. Each owner who has any has an
    equal share of it. Those over their share give way first, until they are within it. An owner who is over its share,
    or would be, pushes out nobody who is within theirs.
    """
    used = Counter[str]({owner: wanted})
    for one in everyone:
        used[one.owner] += size(one)
    share, later = limit / len(used), list[Session | LessonGroup]()
    greedy = used[owner] > share
    for one in everyone:
        if not gives_way(one):
            continue
        if used[one.owner] > share:
            used[one.owner] -= size(one)
            yield one
        elif one.owner == owner or not greedy:
            later.append(one)
    yield from later


def choose(
    candidates: Iterable[Session | LessonGroup], size: Size, needed: int, refusal: str, quota: str = ""
) -> list[Session | LessonGroup]:
    """The first that give way and free `needed`. Raises `MemoryFull` with that sentence when all are not enough."""
    chosen = list[Session | LessonGroup]()
    for one in candidates:
        if needed <= 0:
            break
        if gives_way(one) and size(one):
            chosen.append(one)
            needed -= size(one)
    if needed > 0:
        raise MemoryFull(refusal).of_quota(quota)
    return chosen


def gives_way(one: Session | LessonGroup) -> bool:
    """Nothing is in progress, and no stream is open, unless it has sent nothing and nothing would be lost."""
    return one.evictable or (isinstance(one, Session) and one.silent and not (one.holds or one.frames or one.bytes))


def count_one(one: Session | LessonGroup) -> int:
    """A size where their number is limited."""
    return 1


def count_bytes(one: Session | LessonGroup) -> int:
    """A size where their bytes are limited."""
    return one.bytes
