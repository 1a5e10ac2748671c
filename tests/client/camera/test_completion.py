"""Words that a shell completes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tta_client.camera.cli import main
from tta_client.camera.completion import SHELLS

pytest.importorskip("argcomplete", reason="completion needs argcomplete (extra camera)")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_for_each_shell_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--show-completion", shell])
    assert ended.value.code == 0 and "tta-camera" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("tta-camera 0 --rtsp", {"--rtsp-transport"}),
        ("tta-camera 0 --rtsp-transport ", {"tcp", "udp", "http"}),
        ("tta-camera cli", {"clip.mp4"}),
    ],
)
def test_bash_completes_options_their_values_and_files(line: str, wanted: set[str], tmp_path: Path) -> None:
    if not (bash := shutil.which("bash")):
        pytest.skip("no bash here")
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "tta-camera").write_text(f'#!/bin/sh\nexec {sys.executable} -m tta_client.camera.cli "$@"\n')
    (tmp_path / "tta-camera").chmod(0o755)
    script = f"""
eval "$(tta-camera --show-completion bash)"
COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; COMP_TYPE=9
read -ra COMP_WORDS <<< "$COMP_LINE"; [[ $COMP_LINE == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_python_argcomplete tta-camera "${{COMP_WORDS[-1]}}" "${{COMP_WORDS[-2]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    shell = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([bash, "-c", script], cwd=tmp_path, env=shell, capture_output=True, text=True)
    assert wanted <= set(map(str.strip, done.stdout.splitlines())), done.stderr
