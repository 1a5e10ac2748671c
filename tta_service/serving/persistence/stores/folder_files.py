"""Files that are replaced as a whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4


def write_file(file: Path, written: float, content: bytes) -> None:
    """A new file that is on the disk, with `written` as its time in Unix seconds."""
    with file.open("wb") as output:
        output.write(content)
        output.flush()
        os.fsync(output.fileno())
    os.utime(file, (written, written))


def version_of(file: Path) -> tuple[int, ...] | None:
    """Another one whenever the file is replaced; None where there is none."""
    with suppress(FileNotFoundError):
        status = file.stat()
        return status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size
    return None


def find_files(folder: Path, pattern: str) -> list[Path]:
    """All of that pattern. Raises OSError when the folder is gone, in which a search would find nothing."""
    folder.stat()
    return list(folder.glob(pattern))


def remove(file: Path) -> None:
    """A file, or a folder with all that is in it; there need not be one."""
    if file.is_dir():
        shutil.rmtree(file, ignore_errors=True)
    else:
        file.unlink(missing_ok=True)


def list_names(folder: Path, now: float) -> set[str]:
    """The names in a folder, which gets the time `now`, in Unix seconds, if it can."""
    with suppress(PermissionError):
        os.utime(folder, (now, now))
    return {file.name for file in folder.iterdir()}


def read_files(folder: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Their contents by name; those that are gone are left out."""
    found = dict[str, bytes]()
    for name in names:
        with suppress(FileNotFoundError):
            found[name] = (folder / name).read_bytes()
    return found


def put_files(folder: Path, now: float, contents: Mapping[str, bytes], gone: Sequence[str]) -> None:
    """Adds files to a folder, which is made if need be, and deletes those of the names `gone`."""
    folder.mkdir(exist_ok=True, mode=0o700)
    for name, content in contents.items():
        half = folder / f".{name}.{uuid4().hex}"
        try:
            write_file(half, now, content)
            half.replace(folder / name)
        finally:
            half.unlink(missing_ok=True)
    for name in gone:
        (folder / name).unlink(missing_ok=True)
