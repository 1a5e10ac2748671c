"""Lesson groups: sessions of one owner that share what people say about their frames."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ...core.errors import MemoryFull, UnknownGroup
from ...core.lesson_sums import LessonSums, Noise
from ...core.lessons import Example, Lesson
from .group_entries import KEY, Change, GroupEntry, Removal, SiteSums, digest_sums, name_of
from .lessons import LessonBook, takes
from .memory import MemoryAccounting, MemoryKey, MemoryLimits

GROUP = "a lesson group's name"
SITES = 64  # that a group takes sums of
ENTRY_BYTES = 512  # bytes by which an entry is counted beside the features of its lesson


class LessonGroup:
    """The lessons of a group, which are equal on all its servers once each has merged all entries, in any order."""

    def __init__(self, owner: str, id: str, accounting: MemoryAccounting, now: float) -> None:
        self.owner, self.id, self.last_used = owner, id, now
        self.lessons = LessonBook(self._on_resize)
        self.entries = dict[str, GroupEntry]()  # by subject; removals stay, for a server that was away
        self.names = dict[str, str]()  # of these entries
        self.sites = dict[str, tuple[LessonSums, ...]]()  # of other sites
        self.epsilon, self.delta = 0.0, 0.0  # sums of that much privacy were given out here, in all
        self.holds, self.closed = 0, False  # holds: open sessions and work in progress
        self.bytes = 0  # of all entries
        self._accounting = accounting

    @property
    def evictable(self) -> bool:
        """No session of it is open."""
        return not self.holds

    def teach(self, example: Example, label: str | None) -> Change:
        """A new lesson, in place of an earlier one about the example in the same label set."""
        return self._append(Lesson(0, example, label))

    def unlearn(self, example: str, labels: str) -> Change:
        """Takes a lesson back."""
        return self._append(Removal(example, labels, 0.0))

    @property
    def site_names(self) -> list[str]:
        """Of the entries of sites with sums."""
        return sorted(
            self.names[key] for key, entry in self.entries.items() if isinstance(entry, SiteSums) and entry.sums
        )

    def sums_for(self, key: MemoryKey) -> list[LessonSums]:
        """What a memory learns from other sites when it begins."""
        return [one for site in sorted(self.sites) for one in self.sites[site] if takes(key, one)]

    def put_sums(self, site: str, sums: tuple[LessonSums, ...]) -> Change | None:
        """Replaces the sums of a site; None: they are the same as before.

        Raises `MemoryFull` when there are too many sites.
        """
        if digest_sums(self.sites.get(site, ())) == digest_sums(sums):
            return None
        if sums and site not in self.sites and len(self.sites) >= SITES:
            raise MemoryFull(f"the group has sums of {SITES} sites, and takes no more", "site")
        return self._append(SiteSums(site, sums))

    def give(self, noise: Noise | None) -> None:
        """Counts sums that are given out; what was given out with noise adds up, what was exact is beyond measure."""
        epsilon, delta = (noise.epsilon, noise.delta) if noise else (math.inf, 0.0)
        self.epsilon, self.delta = self.epsilon + epsilon, min(1.0, self.delta + delta)

    def bytes_of(self, entry: GroupEntry) -> int:
        """By which it would add to the group."""
        match entry:
            case Lesson():
                return ENTRY_BYTES + self.lessons.bytes_of(entry.example)
            case SiteSums():
                return max(0, ENTRY_BYTES + entry.bytes - SiteSums(entry.site, self.sites.get(entry.site, ())).bytes)
            case Removal():
                return ENTRY_BYTES

    def merge(self, entry: GroupEntry) -> Change | None:
        """Takes an entry, perhaps of another server; None: the same or a later one of its subject is known."""
        name = name_of(entry)
        key = name[:KEY]
        if name <= self.names.get(key, ""):
            return None
        match entry:
            case Lesson():
                old, entry = self.lessons.add(entry)
                change = Change(old, entry)
            case Removal():
                change = Change(self.lessons.remove(entry.example, entry.labels), None)
            case SiteSums():
                before = self.sites.pop(entry.site, ())
                self._on_resize(entry.bytes - SiteSums(entry.site, before).bytes)
                if entry.sums:
                    self.sites[entry.site] = entry.sums
                change = Change(None, None, before + entry.sums)
        self._on_resize(0 if key in self.names else ENTRY_BYTES)
        self.names[key], self.entries[key] = name, entry
        return change

    def _append(self, entry: GroupEntry) -> Change:
        """A new entry, later than the known one of its subject whatever the clock of the server that wrote that."""
        known = self.entries.get(name_of(entry)[:KEY])
        change = self.merge(replace(entry, taught=max(time.time(), known.taught + 2e-6 if known else 0.0)))
        assert change is not None
        return change

    def end(self) -> None:
        """Gives its bytes back."""
        self._on_resize(-self.bytes)
        self.closed = True

    def _on_resize(self, by: int) -> None:
        self.bytes += by
        if not self.closed:
            self._accounting.change(self.owner, "lessons", by)


class LessonGroups:
    """Groups by owner and id. One without an open session lives as long as a session with as many lessons."""

    def __init__(
        self, idle: float, limits: MemoryLimits, accounting: MemoryAccounting, clock: Callable[[], float]
    ) -> None:
        self._idle, self._limits, self._accounting, self._clock = idle, limits, accounting, clock
        self._groups = dict[tuple[str, str], LessonGroup]()

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def open_groups(self) -> tuple[LessonGroup, ...]:
        """All of them, the one that was opened first first."""
        return tuple(self._groups.values())

    def get(self, owner: str, id: str) -> LessonGroup | None:
        """The owner's group of that id, if this server has it."""
        return self._groups.get((owner, id))

    def find(self, owner: str, id: str) -> LessonGroup:
        """Raises `UnknownGroup` when the owner has none of that id."""
        group = self.get(owner, id)
        if group is None:
            raise UnknownGroup(f"no lesson group {id!r} of yours is open", "lesson_group")
        return group

    def add(self, owner: str, id: str) -> LessonGroup:
        """Opens one that is not there."""
        group = self._groups[owner, id] = LessonGroup(owner, id, self._accounting, self._clock())
        return group

    def hold(self, group: LessonGroup) -> Callable[[], None]:
        """Keeps it open until the returned function is called."""
        group.holds += 1
        return partial(self._release, group)

    def expire(self) -> None:
        """Closes those that nobody has used for too long."""
        now, taught = self._clock(), max(self._idle, self._limits.taught_idle)
        for group in self.open_groups:
            if group.evictable and now - group.last_used >= (
                taught if len(group.lessons) or group.sites else self._idle
            ):
                self.close(group)

    def close(self, group: LessonGroup) -> None:
        """Forgets its lessons here; a state store keeps them."""
        if not group.closed:
            del self._groups[group.owner, group.id]
            group.end()

    def _release(self, group: LessonGroup) -> None:
        group.holds -= 1
        group.last_used = self._clock()
