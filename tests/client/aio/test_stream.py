"""The end of a program that leaves a stream open."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, sys
from tta_client import AsyncClient

def endless():
    while True:
        yield b"x"

async def silent():
    yield b"x"
    await asyncio.sleep(1e6)

async def leave(frames):
    asyncio.get_running_loop().set_exception_handler(lambda _, trouble: print(trouble))
    stream = AsyncClient(sys.argv[1]).stream(frames, ("cat", "dog", "bird"))
    assert (await anext(aiter(stream))).frame_id == 1
    return stream

asyncio.run(asyncio.wait_for(leave({"endless": endless, "silent": silent}[sys.argv[2]]()), 60))
"""


@pytest.mark.parametrize("source", ["endless", "silent"])
def test_a_stream_that_was_not_closed_lets_its_program_end(address: str, source: str) -> None:
    run = subprocess.run(
        (sys.executable, "-c", PROGRAM, address, source), capture_output=True, text=True, timeout=120, check=False
    )
    assert (run.returncode, run.stdout) == (0, "") and "Traceback" not in run.stderr, run.stderr
