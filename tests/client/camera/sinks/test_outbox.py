"""The spool and the thread that empties it: order, outages, restarts, bounds."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tta_client import Statistics
from tta_client.camera.command import parse_arguments
from tta_client.camera.outbox import Outbox, Spool
from tta_client.camera.outputs import open_outputs

from tests.patience import until


class Receiver:
    """A sink that refuses while it is `away`."""

    batch = 3

    def __init__(self) -> None:
        self.away, self.got, self.closed = False, list[int](), False

    def deliver(self, events: Sequence[Mapping[str, Any]]) -> None:
        if self.away:
            raise RuntimeError("away")
        self.got += [event["n"] for event in events]

    def close(self) -> None:
        self.closed = True


def put(outbox: Outbox, *numbers: int) -> None:
    for number in numbers:
        outbox.put({"n": number})


def test_events_arrive_in_their_order(tmp_path: Path) -> None:
    sink = Receiver()
    outbox = Outbox(sink, Spool(tmp_path, "gate", "s"), "s")
    put(outbox, *range(20))
    outbox.close()
    assert sink.got == list(range(20)) and sink.closed


def test_what_has_not_left_is_delivered_by_the_next_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = Receiver(), Receiver()
    first.away = True
    outbox = Outbox(first, Spool(tmp_path, "gate", "s"), "s")
    put(outbox, *range(5))
    outbox.close(0.0)
    assert "5 events wait in" in caplog.text and "away" in caplog.text
    outbox = Outbox(second, Spool(tmp_path, "gate", "s"), "s")
    put(outbox, 5)
    outbox.close()
    assert (first.got, second.got) == ([], [0, 1, 2, 3, 4, 5])


def test_after_an_outage_all_arrive(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sink = Receiver()
    sink.away = True
    outbox = Outbox(sink, Spool(tmp_path, "gate", "s"), "s")
    put(outbox, *range(7))
    until(lambda: "sink s fails: away" in caplog.text)
    sink.away = False
    outbox.close()
    assert sink.got == list(range(7)) and "works again" in caplog.text


def test_a_full_spool_gives_up_the_oldest(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sink = Receiver()
    sink.away = True
    outbox = Outbox(sink, Spool(tmp_path, "gate", "s", capacity=4), "s")
    put(outbox, *range(9))
    sink.away = False
    outbox.close()
    assert sink.got[-4:] == [5, 6, 7, 8] and caplog.text.count("its spool is full") == 1


def test_two_processes_with_the_same_sink_have_a_spool_each(tmp_path: Path) -> None:
    with closing(Spool(tmp_path, "gate", "s")) as one, closing(Spool(tmp_path, "gate", "s")) as two:
        one.put({"n": 1})
        two.put({"n": 2})
        assert [spool.peek(9)[1] for spool in (one, two)] == [[{"n": 1}], [{"n": 2}]]
    with closing(Spool(tmp_path, "gate", "s")) as again:
        assert again.peek(9)[1] == [{"n": 1}]


@pytest.mark.slow
def test_a_killed_process_leaves_its_events(tmp_path: Path) -> None:
    script = "import os, sys, pathlib; from tta_client.camera.outbox import Spool\n"
    script += "spool = Spool(pathlib.Path(sys.argv[1]), 'gate', 's')\nspool.put({'n': 1})\nos.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)]).returncode == -9
    with closing(Spool(tmp_path, "gate", "s")) as spool:
        assert spool.peek(9)[1] == [{"n": 1}]


def test_a_damaged_spool_is_moved_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(Spool(tmp_path, "gate", "s")) as spool:
        path = spool.path
    path.write_bytes(b"this is no database, and never was one" * 40)
    with closing(Spool(tmp_path, "gate", "s")) as spool:
        spool.put({"n": 1})
        assert len(spool) == 1 and spool.path == path
    assert "is damaged" in caplog.text and path.with_name(f"{path.name}.damaged").exists()


def test_a_disk_that_takes_no_event_stops_no_camera(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sink = Receiver()
    spool = Spool(tmp_path, "gate", "s")
    outbox = Outbox(sink, spool, "s")
    outbox.close()
    outbox.put({"n": 1})  # its database is closed
    assert "an event is lost" in caplog.text


FULL_DISK = """
import pathlib, resource, sys
from tta_client import Statistics
from tta_client.camera.command import parse_arguments
from tta_client.camera.outbox import Outbox, Spool
from tta_client.camera.outputs import open_outputs

class Sink:
    batch, got = 3, []

    def deliver(self, events):
        self.got.append(events[0]["n"])  # and after the first time no file can grow, until the next
        resource.setrlimit(resource.RLIMIT_FSIZE, (0 if len(self.got) == 1 else -1, -1))

    def close(self):
        pass

outbox = Outbox(Sink(), Spool(pathlib.Path(sys.argv[1]), "gate", "s"), "s")
outbox.put({"n": 1})
outbox.close()
print(Sink.got)
"""


@pytest.mark.slow
def test_what_a_full_disk_cannot_forget_is_delivered_again(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[1, 1]\n" and "Traceback" not in done.stderr, done.stderr


def test_a_folder_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"--spool .*file/x"):
        Spool(tmp_path / "file" / "x", "gate", "s")


def test_a_camera_s_name_is_no_path(tmp_path: Path) -> None:
    with closing(Spool(tmp_path, "../../gate one", "s")) as spool:
        assert spool.path.parent == tmp_path and sqlite3.connect(spool.path)


def test_an_outbox_that_cannot_be_opened_closes_those_before_it(tmp_path: Path) -> None:
    sinks = [f"jsonl:{tmp_path}/1.jsonl", f"jsonl:{tmp_path}/2.jsonl"]
    paths = list[Path]()
    for text in sinks:
        with closing(Spool(tmp_path / "spool", "gate", text)) as spool:
            paths.append(spool.path)
    paths[1].unlink()
    paths[1].mkdir()  # no file can be made there
    words = ["0", "--labels", "a,b", "--name", "gate", "--spool", str(tmp_path / "spool")]
    arguments = parse_arguments([*words, "--sink", sinks[0], "--sink", sinks[1]])
    with pytest.raises(OSError, match="--spool"), open_outputs(arguments, Statistics(), None):
        pass
    with closing(Spool(tmp_path / "spool", "gate", sinks[0])) as spool:
        assert spool.path == paths[0]  # nobody holds it


def test_outboxes_leave_side_by_side(tmp_path: Path) -> None:
    """Each may take its seconds; together they take no more."""
    one, two = Receiver(), Receiver()
    one.away = True
    first, second = (Outbox(sink, Spool(tmp_path, "gate", name), name) for sink, name in ((one, "1"), (two, "2")))
    put(first, 1)
    put(second, 2)
    for outbox in (first, second):
        outbox.end(0.2)
    until(lambda: one.closed and two.closed)
    first.close()
    second.close()
    assert (one.got, two.got) == ([], [2])
