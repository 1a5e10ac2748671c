"""Commands in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tta_service.cli import main

Run = Callable[..., tuple[int, str, str]]
RunLines = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command in an empty folder; its exit code, and what it writes to stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run


def split_lines(run: Run) -> RunLines:
    """The same command, with the lines of stdout."""

    def run_lines(*arguments: str | Path) -> tuple[int, list[str], str]:
        code, output, error = run(*arguments)
        return code, output.splitlines(), error

    return run_lines
