"""Events in a file: a line of JSON or of CSV for each."""

from __future__ import annotations

import csv
import io
import json
import os
import threading
from collections.abc import Mapping, Sequence
from io import FileIO
from typing import Any

from ..events import FIELDS
from .target import Target

LOCK = threading.Lock()  # several cameras may write to one file


class FileSink:
    """Appends. A file that somebody moves or deletes, as logrotate does, begins anew with the next event."""

    batch = 1000

    def __init__(self, target: Target) -> None:
        """Raises ValueError for a file that cannot be written: it is made here, because its events may come late."""
        if not target.address:
            raise ValueError(f"--sink {target.kind}: names no file")
        self._path, self._csv = os.path.expanduser(target.address), target.kind == "csv"
        try:
            with self._open() as file:
                file.seek(0, os.SEEK_END)
        except OSError as error:
            raise ValueError(f"--sink {target.name}: {error.strerror or error}") from None

    def deliver(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Raises OSError when they are not written."""
        with LOCK, self._open() as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
            torn = size > 0 and file.read(1) != b"\n"  # a process died within a line
            text = _to_csv(events, not size) if self._csv else "".join(json.dumps(event) + "\n" for event in events)
            data = (b"\n" if torn else b"") + text.encode()
            if (written := file.write(data)) != len(data):
                raise OSError(f"only {written} of {len(data)} bytes were written")
            os.fsync(file.fileno())

    def close(self) -> None:
        """Nothing stays open between two deliveries."""

    def _open(self) -> FileIO:
        return open(self._path, "a+b", buffering=0)


def _to_csv(events: Sequence[Mapping[str, Any]], with_header: bool) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, extrasaction="ignore", lineterminator="\n")
    if with_header:
        writer.writeheader()
    writer.writerows(events)
    return out.getvalue()
