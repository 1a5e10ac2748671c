"""The unit of systemd: checked by systemd's own tool, and against the command and the times of a shutdown."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.tools import DEPLOY
from tta_service.app.commands import SAVING
from tta_service.cli import main
from tta_service.settings import Settings

UNIT = DEPLOY / "systemd" / "tta-service.service"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
def test_systemd_takes_the_unit(tmp_path: Path):
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/tta-service/bin/tta-service", "/bin/true"))
    checked = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_it_waits_until_a_server_has_drained_and_stored():
    seconds = re.search(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)
    server = Settings().server
    assert seconds and int(seconds[1]) > server.pre_stop + server.drain + SAVING


def test_the_command_has_its_flags(capsys: pytest.CaptureFixture[str]):
    command = re.search(r"^ExecStart=\S+/tta-service (\S+) (.*)$", UNIT.read_text(), re.MULTILINE)
    assert command
    with pytest.raises(SystemExit):
        main([command[1], "--help"])
    options = capsys.readouterr().out
    assert all(flag in options for flag in re.findall(r"--[\w-]+", command[2]))
