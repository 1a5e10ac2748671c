"""The audit log: a line for each event, private, in order, and never in the way unless it must be."""

from __future__ import annotations

import fcntl
import json
import resource
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.patience import until
from tta_service.core.errors import NotReady
from tta_service.core.events import Audited
from tta_service.telemetry import combine_observers
from tta_service.telemetry.audit import AuditLog


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@contextmanager
def unwritable(path: Path) -> Iterator[None]:
    """For as long as the block: its folder is gone."""
    path.parent.rename(path.parent.with_name("away"))
    yield
    path.parent.with_name("away").rename(path.parent)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """For as long as the block no file grows beyond that size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "there").mkdir()
    return tmp_path / "there" / "audit"


def test_every_event_is_a_line_in_order_in_a_file_of_its_owner(path: Path) -> None:
    for first in (0, 20):  # it is opened again and goes on
        audit = AuditLog(path)
        observe = combine_observers(audit.handlers)
        for n in range(first, first + 20):
            observe(Audited("taught", "ann\n", "k1", {"session": "cam", "n": n}))
        audit.close()
    assert [line["n"] for line in lines(path)] == list(range(40))
    assert lines(path)[0].keys() == {"time", "action", "owner", "key", "session", "n"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and audit.failures == 0


def test_what_a_failing_disk_does_not_take_is_counted_said_once_and_written_later(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    audit = AuditLog(path)
    with unwritable(path):
        for n in range(3):
            audit.add("taught", n=n)
            with pytest.raises(OSError):
                audit.flush()
    assert audit.failures >= 3 and caplog.text.count("is not written") == 1
    audit.add("taught", n=3)
    audit.flush()
    assert [line["n"] for line in lines(path)] == [0, 1, 2, 3]
    audit.close()


def test_it_is_moved_away_and_begins_anew(path: Path) -> None:
    audit = AuditLog(path)
    for n in range(2):
        audit.add("taught", n=n)
        audit.flush()
        path.rename(path.with_name(f"audit.{n}"))
    assert [lines(path.with_name(f"audit.{n}"))[0]["n"] for n in range(2)] == [0, 1]
    audit.close()


def test_a_line_that_the_disk_takes_half_is_taken_back(path: Path) -> None:
    audit = AuditLog(path)
    audit.add("first")
    audit.flush()
    with full_disk(path.stat().st_size + 10):
        audit.add("second")
        with pytest.raises(OSError):
            audit.flush()
        assert [line["action"] for line in lines(path)] == ["first"]
    audit.flush()
    assert [line["action"] for line in lines(path)] == ["first", "second"]
    audit.close()


@pytest.mark.parametrize("required", [False, True])
def test_changes_are_refused_where_it_is_required_and_cannot_be_written(path: Path, required: bool) -> None:
    audit = AuditLog(path, required)
    audit.check()
    with unwritable(path):
        audit.add("taught")
        until(lambda: audit.failures)
        if required:
            with pytest.raises(NotReady, match="audit log"):
                audit.check()
        else:
            audit.check()
    audit.check()
    audit.close()
    assert [line["action"] for line in lines(path)] == ["taught"]


def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "audit", tmp_path):
        with pytest.raises(OSError):
            AuditLog(path)


def test_lines_that_come_while_others_are_written_are_there_at_the_end(path: Path):
    audit = AuditLog(path)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as another process that writes just now
        audit.add("first")
        time.sleep(0.05)
        audit.add("second")
        closing = threading.Thread(target=audit.close)
        closing.start()
        time.sleep(0.05)
    closing.join()
    assert [line["action"] for line in lines(path)] == ["first", "second"]
