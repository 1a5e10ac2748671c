"""Which pictures are taught, which are measured, and in which order they come."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .pictures import PictureSet

ORDERS = {
    "shuffled": "a seeded order, drawn anew for each repetition",
    "given": "as the data lie",
    "classes": "one class after the other, in a seeded order of the classes",
}
Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stream:
    """Pictures in the order in which they are answered, after lessons about others."""

    order: str
    number: int  # of the repetition
    picture: Places  # [m]
    taught: Places  # [l]

    def name(self, data: PictureSet) -> str:
        """For a file: changes with what the pictures hold, and with the order."""
        whole = " ".join([*map(data.digest, self.taught.tolist()), "|", *map(data.digest, self.picture.tolist())])
        return f"{self.order}{self.number}-{len(self.taught)}taught-{hashlib.sha256(whole.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, eq=False)
class Split:
    """Pictures that lessons are drawn from, by class, and those that are measured, whatever the number of lessons."""

    pool: tuple[Places, ...]
    measured: Places


def split_pictures(data: PictureSet, chosen: Places, most: int, seed: int) -> Split:
    """Sets twice `most` pictures of each class aside for lessons, or half of the class where that is less.

    `most` lessons are drawn from these in each repetition, so that repetitions differ while they measure the same
    pictures. Raises ValueError for a class with too few pictures.
    """
    draw, labels = np.random.default_rng([seed, 1]), data.labels[chosen]
    pool = list[Places]()
    for place, name in enumerate(data.names):
        own = chosen[labels == place]
        count = min(2 * most, max(most, len(own) // 2))
        if most and len(own) and len(own) <= most:
            raise ValueError(
                f"--lessons {most}: there are {len(own)} pictures of {name!r}, and some are to be left for measuring"
            )
        pool.append(draw.permutation(own)[:count])
    return Split(tuple(pool), np.setdiff1d(chosen, np.concatenate(pool)) if most else np.sort(chosen))


def make_streams(data: PictureSet, split: Split, order: str, repetitions: int, lessons: int, seed: int) -> list[Stream]:
    """One stream for each repetition; an order that is not drawn has one. A repetition's lessons begin with those of
    fewer lessons."""
    found = list[Stream]()
    for number in range(1 if order == "given" and not lessons else repetitions):
        drawn = [np.random.default_rng([seed, 2, number]).permutation(own)[:lessons] for own in split.pool]
        taught = np.concatenate(drawn) if drawn else np.zeros(0, np.int64)
        mixed = np.random.default_rng([seed, 3, number]).permutation(taught)
        picture = _arrange(data.labels, split.measured, order, np.random.default_rng([seed, 4, number]))
        found.append(Stream(order, number, picture, mixed))
    return found


def _arrange(labels: Places, measured: Places, order: str, draw: np.random.Generator) -> Places:
    if order == "given":
        return measured
    mixed = draw.permutation(measured)
    if order == "shuffled":
        return mixed
    rank = draw.permutation(int(labels.max(initial=0)) + 1)
    return mixed[np.argsort(rank[labels[mixed]], kind="stable")]


def parse_orders(text: str) -> tuple[str, ...]:
    """`shuffled,classes`. Raises ValueError."""
    found = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if wrong := [one for one in found if one not in ORDERS] or ([text] if not found else []):
        raise ValueError(f"--order {wrong[0]}: an order is {', '.join(ORDERS)}")
    return found


def parse_lessons(text: str) -> tuple[int, ...]:
    """`0,1,4`: lessons of each class, ascending. Raises ValueError."""
    try:
        found = sorted({int(word) for word in text.split(",") if word.strip()})
    except ValueError:
        found = []
    if not found or found[0] < 0:
        raise ValueError(f"--lessons {text}: write numbers of lessons of each class as 0,1,4")
    return tuple(found)


def parse_shifts(texts: Sequence[str]) -> list[tuple[str, int]]:
    """`fog:3` or `fog`, which is severity 3, to pairs. Raises ValueError for what is no number."""
    found = list[tuple[str, int]]()
    for text in texts:
        name, colon, severity = text.partition(":")
        if colon and not re.fullmatch(r"\s*[0-9]{1,9}\s*", severity):
            raise ValueError(f"--shift {text}: write it as KIND:SEVERITY, a severity from 1 to 5")
        found.append((name.strip(), int(severity) if colon else 3))
    return found
