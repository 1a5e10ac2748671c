"""deploy/venv.sh as a process, with stubs of uv and pip: what it tries, and what it prints."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.tools import DEPLOY

TOOLS = ("awk", "cat", "chmod", "cp", "cut", "df", "env", "grep", "mkdir", "rm", "sed", "sh", "tail", "touch")
CAUSE = "invalid peer certificate: UnknownIssuer"
UV = f"""#!/bin/sh
case "$*" in *clients/python*) ;; *) exit 9 ;; esac
echo "uv${{UV_SYSTEM_CERTS:+ system}}${{UV_NATIVE_TLS:+ native}}" >>$CALLS
[ $UV_WORKS = always ] || [ $UV_WORKS = "${{UV_SYSTEM_CERTS:+system}}" ] && exit 0
printf 'error: Failed to fetch\\n  cause: {CAUSE}\\n\\nhint: the certificate of a friend\\n' >&2
exit 2
"""
PYTHON = f"""#!/bin/sh
case "$*" in
    *torch*) exit 0 ;;
    *"import venv"*) [ $VENV_WORKS = yes ]; exit ;;
    "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python; exit ;;
    *"pip --version" | *ensurepip) case "$0" in *.venv*) [ $VENV_WORKS = yes ]; exit ;; esac ;;
    *pip*install*" uv") echo "pip uv" >>$CALLS; [ $GIVES_UV = yes ] && cp $STUB .venv/bin/uv && exit ;;
    *pip*install*clients/python*) echo "pip of $0" >>$CALLS; [ $PIP_WORKS = yes ] && exit ;;
    *) exec {sys.executable} "$@" ;;
esac
echo "ERROR: Could not find a version that satisfies the requirement (from versions: none)" >&2
exit 1
"""
NO_PIP = "Could not find a version that satisfies the requirement (from versions: none)"
SYSTEM = "uv system native"
PIP = "pip of .venv/bin/python"


def script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to install into, with a PATH of the tools that the script needs, and no uv."""
    for folder in ("bin", "home", "work"):
        (tmp_path / folder).mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found, name
        (tmp_path / "bin" / name).symlink_to(found)
    script(tmp_path / "bin" / "python3", PYTHON)
    script(tmp_path / "uv", UV)
    return tmp_path


def install(folder: Path, *, uv: bool = True, **settings: str) -> tuple[int, list[str], list[str]]:
    """The exit code, the calls, and the messages beside the usual line."""
    if uv:
        (folder / "bin" / "uv").symlink_to(folder / "uv")
    env = {"UV_WORKS": "never", "GIVES_UV": "no", "PIP_WORKS": "no", "VENV_WORKS": "yes", "HOME": str(folder / "home")}
    env |= {"PATH": str(folder / "bin"), "CALLS": str(folder / "calls"), "STUB": str(folder / "uv")} | settings
    command = ["sh", str(DEPLOY / "venv.sh"), "demo"]
    done = subprocess.run(command, cwd=folder / "work", env=env, capture_output=True, text=True, timeout=60)
    messages = [line for line in done.stderr.splitlines() if not line.startswith("installing into .venv")]
    assert (folder / "work" / ".venv" / ".installed-demo").exists() == (done.returncode == 0)
    return done.returncode, (folder / "calls").read_text().splitlines(), messages


@pytest.mark.parametrize("home", ["/nowhere", ""])
@pytest.mark.parametrize("uv", [True, False], ids=["uv", "uv from PyPI"])
def test_uv_alone_is_called_where_it_works(folder: Path, uv: bool, home: str):
    first = [] if uv else ["pip uv"]
    assert install(folder, uv=uv, UV_WORKS="always", GIVES_UV="yes", HOME=home) == (0, [*first, "uv"], [])


@pytest.mark.parametrize("uv", [True, False], ids=["uv", "uv from PyPI"])
def test_the_systems_certificates_are_tried_when_uvs_own_do_not_do(folder: Path, uv: bool):
    code, calls, messages = install(folder, uv=uv, UV_WORKS="system", GIVES_UV="yes")
    assert (code, calls[-2:]) == (0, ["uv", SYSTEM])
    assert messages == [f"uv failed ({CAUSE}); uv with the system's certificates did it"]


@pytest.mark.parametrize("uv", [True, False], ids=["uv", "uv from PyPI"])
def test_pip_comes_last_and_one_sentence_says_what_failed_before(folder: Path, uv: bool):
    code, calls, messages = install(folder, uv=uv, GIVES_UV="yes", PIP_WORKS="yes")
    assert (code, calls[-3:]) == (0, ["uv", SYSTEM, PIP])
    assert messages == [f"uv failed ({CAUSE}), uv with the system's certificates failed ({CAUSE}); pip did it"]


def test_without_uv_pip_installs_everything(folder: Path):
    assert install(folder, uv=False, PIP_WORKS="yes") == (
        0, ["pip uv", PIP], [f"installing uv failed ({NO_PIP}); pip did it"],
    )  # fmt: skip


def test_pip_is_the_interpreters_where_uv_made_the_environment(folder: Path):
    (folder / "work" / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(folder / "bin" / "python3", folder / "work" / ".venv" / "bin" / "python")
    code, calls, _ = install(folder, VENV_WORKS="no", PIP_WORKS="yes")
    assert (code, calls) == (0, ["uv", SYSTEM, f"pip of {folder / 'bin' / 'python3'}"])


@pytest.mark.parametrize("uv", [True, False], ids=["uv", "no uv"])
def test_when_nothing_works_one_sentence_says_what_failed_and_where_to_read_on(folder: Path, uv: bool):
    code, calls, messages = install(folder, uv=uv)
    tried = ["uv", SYSTEM, PIP] if uv else ["pip uv", PIP]
    assert (code, calls, len(messages)) == (1, tried, 1)
    assert f"pip failed ({NO_PIP}): nothing is installed" in messages[0] and ".venv/install.log" in messages[0]
    assert messages[0].count(CAUSE) == (2 if uv else 0)
    assert "requirement" in (folder / "work" / ".venv" / "install.log").read_text()


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        ("error: x\n  Caused by: invalid peer certificate: UnknownIssuer\n", CAUSE),
        ("  × Failed to fetch\n  ├─▶ client error\n  ╰─▶ invalid peer certificate: UnknownIssuer\n", CAUSE),
        (
            "WARNING: Retrying after 'SSLError([SSL] certificate verify failed: self signed'\nERROR: no match\n",
            "certificate verify failed: self signed'",
        ),
        ("error: no space left on device\n\n", "no space left on device"),
        ("", "no word of why"),
    ],
)
def test_the_cause_is_found_in_the_output_of_each_program(folder: Path, output: str, cause: str):
    (folder / "output").write_text(output)
    script(folder / "uv", UV.replace("printf '", f"cat {folder / 'output'} >&2; exit 2; printf '"))
    _, _, messages = install(folder, PIP_WORKS="yes")
    assert messages[0].startswith(f"uv failed ({cause}), ")
