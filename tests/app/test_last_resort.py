from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

PATIENCE = 30  # seconds; much more than anything here takes
BEGIN = """
import asyncio, re, signal, sys, time
from tta_service.app.last_resort import kill_after

async def run():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    kill_after([signal.SIGTERM], float(sys.argv[1]))
    print("ready", flush=True)
"""
STUCK = BEGIN + "    re.match('(a+)+$', 'a' * 60 + 'b')\nasyncio.run(run())"  # it holds the interpreter for years
ENDING = BEGIN + "    await stop.wait()\nasyncio.run(run())\nprint('ended', flush=True)"


def start(script: str, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
@pytest.mark.parametrize("seconds, signals", [(0.5, 1), (PATIENCE * 9, 2)])
def test_a_process_whose_interpreter_is_held_is_killed(seconds: float, signals: int):
    with start(STUCK, seconds) as process:
        for _ in range(signals):
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == -signal.SIGKILL
        assert process.stderr is not None
        assert "did not end within" in (text := process.stderr.read()) and "re" in text


@pytest.mark.slow
def test_one_that_ends_in_time_ends_as_before():
    with start(ENDING, 60) as process:
        process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out, error) == (0, "ended\n", "")
