"""A service over a small random CLIP, for fuzz.py and the like: prints its SERVING line, ends by SIGTERM.

python benchmarks/fuzz_server.py '{"sessions.most": 64, …}'
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from typing import Any

import uvloop

from tta_service.app import Application
from tta_service.settings import load
from tta_service.testing import FakeCLIP

QUIET = {"server.port": 0, "http.port": 0, "metrics.port": 0, "batch.max_rows": 64}


async def serve(knobs: dict[str, Any]) -> None:
    logging.disable(logging.WARNING)
    clip: Any = FakeCLIP()
    async with Application(load(QUIET | knobs), clip) as application:
        for one in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(one, application.stop)
        print(" ".join(["SERVING", *map("=".join, application.facts.items())]), flush=True)
        await application.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}))
