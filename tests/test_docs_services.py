"""What the documentation prints that runs until it is stopped, or installs: run in a shell, as it is printed.

Only ports, and the files of certificates that a reader has, are this machine's.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.patience import PATIENCE
from tests.test_docs import ROOT
from tests.test_docs_blocks import SHELL, blocks

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("bash") or not shutil.which("curl"), reason="there is no bash or no curl"),
]
START = "tta-service serve"
FREE = {"TTA_HTTP__ENABLED": "true", "TTA_HTTP__PORT": "0", "TTA_METRICS__PORT": "0", "TTA_SERVER__PORT": "0"}
SMALL = {"TTA_BATCH__MAX_ROWS": "16", "TTA_LANES__CORES": "1", "OMP_NUM_THREADS": "1"}


def lines(text: str) -> list[str]:
    """The commands of a block, each on one line."""
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def starts() -> Iterator[tuple[str, str]]:
    """Each line that starts a service, after those of its block that do something else before."""
    for page, text in SHELL:
        before: list[str] = []
        for line in lines(text):
            if START in line:
                yield page, "\n".join([*before, line])
            else:
                before.append(line)


STARTS = list(starts())


def environment(folder: Path) -> dict[str, str]:
    """In which `tta-service` is the one that is tested."""
    paths = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    python = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    return {**os.environ, **SMALL, "PATH": os.pathsep.join(paths), "PYTHONPATH": python, "HOME": str(folder)}


@contextmanager
def run_until_stopped(script: str, folder: Path) -> Iterator[dict[str, str]]:
    """The addresses of the service that a script starts. It must end well when it is told to."""
    whole = f"set -e\ntrap : TERM\n{script}\necho ENDED\n"
    options = {"cwd": folder, "env": environment(folder) | FREE, "text": True, "start_new_session": True}
    with subprocess.Popen(["bash", "-c", whole], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        try:
            assert process.stdout and process.stderr
            said = next((line for line in process.stdout if line.startswith("SERVING ")), "")
            assert said, process.stderr.read()
            yield dict(word.split("=", 1) for word in said.split()[1:])
            os.killpg(process.pid, signal.SIGTERM)
            out, err = process.communicate(timeout=PATIENCE)
            assert out.rstrip().endswith("ENDED"), out + err
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(("page", "script"), STARTS, ids=[f"{page}:{n}" for n, (page, _) in enumerate(STARTS)])
def test_a_service_starts_as_it_is_printed(page: str, script: str, tmp_path: Path):
    Authority(tmp_path).server()
    for printed, here in {"50052": "0", "certificate=…": "certificate=server.crt", "key=…": "key=server.key"}.items():
        script = script.replace(printed, here)
    with run_until_stopped(script, tmp_path) as addresses:
        assert re.fullmatch(r"[\w.]+:\d+", addresses["grpc"])


def picture(path: Path, name: str = "chelsea", left: int = 0) -> None:
    """A photograph."""
    from PIL import Image

    data = pytest.importorskip("skimage.data")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(getattr(data, name)()).crop((left, 0, left + 300, 300)).save(path)


def test_a_running_service_answers_what_the_first_pages_print(tmp_path: Path):
    """The lines with curl and the Python of Start, against a service in a process of its own."""
    picture(tmp_path / "photo.jpg")
    for number in range(3):
        picture(tmp_path / "frames" / f"{number}.jpg", left=number)
    calls = [line for page, text in SHELL for line in lines(text) if line.startswith("curl ")]
    programs = [text for page, text in blocks("python") if page == "docs/index.md"]
    assert len(calls) >= 5 and len(programs) >= 2
    with run_until_stopped(START, tmp_path) as addresses:
        told = {"cwd": tmp_path, "env": environment(tmp_path), "capture_output": True, "text": True}
        for line in calls:
            call = line.replace("localhost:8080", addresses["http"].removeprefix("http://").rstrip("/"))
            done = subprocess.run(["bash", "-c", f"{call} -sS"], timeout=PATIENCE, **told)
            assert done.stdout, (call, done.stderr)
            reply = json.loads(done.stdout)
            assert "top" in reply or "embeddings" in reply, (line, reply)
        for program in programs:
            text = program.replace("127.0.0.1:50051", addresses["grpc"])
            done = subprocess.run([sys.executable, "-c", text], timeout=PATIENCE, **told)
            assert done.returncode == 0, done.stderr


def run_lines(folder: Path, *starts: str) -> str:
    """What the lines that begin so print, one after another, in a reader's folder."""
    script = [line for _, text in SHELL for line in lines(text) if line.startswith(starts)]
    assert len(script) >= len(starts)
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(script)],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=5 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_pictures_are_evaluated_and_compared_as_it_is_printed(tmp_path: Path):
    for name, folder in (("chelsea", "cat"), ("rocket", "rocket"), ("coffee", "coffee")):
        for number in range(3):
            picture(tmp_path / "photos" / folder / f"{number}.jpg", name, 5 * number)
    said = run_lines(tmp_path, "tta-service evaluate photos/", "tta-service compare")
    assert "zero_shot" in said and list(tmp_path.glob("*.html")) and (tmp_path / "b.json").stat().st_size


INSTALLS = {
    line.partition("#")[0].strip() for _, text in SHELL for line in lines(text) if line.startswith("pip install ")
}


@pytest.mark.skipif(not importlib.util.find_spec("pip"), reason="this environment has no pip")
@pytest.mark.parametrize("line", sorted(INSTALLS))
def test_what_is_installed_from_a_checkout_can_be(line: str, tmp_path: Path):
    """Without what it needs, which is here already."""
    options = f"--quiet --no-deps --no-index --no-build-isolation --disable-pip-version-check --target {tmp_path}"
    call = line.replace("pip install", f"{sys.executable} -m pip install {options}")
    subprocess.run(["bash", "-c", call], cwd=ROOT, env=environment(tmp_path), check=True, timeout=PATIENCE)
    assert list(tmp_path.glob("tta_*"))
