"""Does a client that loses its service thousands of times hold more and more memory?

A relay in front of a service cuts the client's connection after each answer, so that its stream dials again each time.
First the asyncio client, then the one for threads; both count what they hold on the way.

    python benchmarks/reconnects.py [--reconnects 5000]

Writes benchmarks/results/reconnects.json, after each look at what is held. Exit status 1 when memory,
threads or files have grown.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import itertools
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from hostile_pictures import NAMES, picture
from load_servers import start_server
from machine import load_average, processor
from tqdm import tqdm
from tta_client import AsyncClient, Client, Reconnect, Statistics

HERE = Path(__file__).resolve().parent
OUT = HERE / "results" / "reconnects.json"
QUICKLY = Reconnect(shortest=0.002, longest=0.01)
LOOKS = 20  # at what is held
GROWTH = 4e6  # bytes that the allocator may keep between two looks


class Relay:
    """Passes bytes on until `cut`, in a thread and an event loop of its own."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.rpartition(":")
        self._ends, self._loop = set[asyncio.StreamWriter](), asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        listening = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._relay, "127.0.0.1", 0), self._loop)
        self.address = "{}:{}".format(*listening.result().sockets[0].getsockname())

    def cut(self) -> None:
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    async def _relay(self, here: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        there, forth = await asyncio.open_connection(self._host, int(self._port))
        self._ends |= {back, forth}
        await asyncio.gather(_pump(here, forth), _pump(there, back))


async def _pump(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await source.read(1 << 16):
            to.write(chunk)
            await to.drain()
    to.close()


def frames() -> Iterator[bytes]:
    """The same picture without end."""
    return itertools.repeat(picture())


def look(reconnects: int) -> dict[str, Any]:
    gc.collect()
    process = psutil.Process()
    return {
        "reconnects": reconnects,
        "rss": process.memory_info().rss,
        "objects": len(gc.get_objects()),
        "threads": process.num_threads(),
        "files": process.num_fds(),
    }


class Watch:
    """Cuts the connection after each answer, and looks now and then; `write()` is called after each look."""

    def __init__(self, relay: Relay, reconnects: int, name: str, write: Callable[[], None]) -> None:
        self.statistics, self.looks, self._write = Statistics(), list[dict[str, Any]](), write
        self._relay, self._most, self._bar = relay, reconnects, tqdm(total=reconnects, unit="reconnect", desc=name)

    def answered(self) -> bool:
        """False when it was cut often enough."""
        done = self.statistics.reconnects["service"]
        self._bar.update(done - self._bar.n)
        if done >= len(self.looks) * self._most / LOOKS:
            self.looks.append(look(done))
            self._write()
        self._relay.cut()
        return done < self._most


async def lose_async(relay: Relay, watch: Watch) -> None:
    how: dict[str, Any] = {"session": "often", "reconnect": QUICKLY, "statistics": watch.statistics}
    async with AsyncClient(relay.address) as client, client.stream(frames(), NAMES, **how) as stream:
        async for _ in stream:
            if not watch.answered():
                break


def lose_sync(relay: Relay, watch: Watch) -> None:
    how: dict[str, Any] = {"session": "often", "reconnect": QUICKLY, "statistics": watch.statistics}
    with Client(relay.address) as client, client.stream(frames(), NAMES, **how) as stream:
        for _ in stream:
            if not watch.answered():
                break


def grown(looks: list[dict[str, Any]]) -> list[str]:
    """What there is more of at the end than after the first quarter."""
    early, late = looks[len(looks) // 4], looks[-1]
    more = [what for what in ("threads", "files") if late[what] > early[what] + 2]
    more += ["memory"] if late["rss"] > early["rss"] + GROWTH else []
    return more + (["objects"] if late["objects"] > 1.02 * early["objects"] + 200 else [])


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--reconnects", type=int, default=5000)
    ask.add_argument("--out", type=Path, default=OUT)
    args = ask.parse_args()
    logging.disable()  # a line for each loss
    watches, behind = dict[str, Watch](), dict[str, list[str]]()

    def write() -> None:
        behind.update((name, grown(watch.looks)) for name, watch in watches.items())
        report: dict[str, Any] = {"machine": processor(), "load_average": load_average(), "grown": behind}
        report |= {name: {"looks": watch.looks, "answers": watch.statistics.answers} for name, watch in watches.items()}
        args.out.write_text(json.dumps(report, indent=1) + "\n")

    with start_server([str(HERE / "fuzz_server.py")]) as server:
        relay = Relay(server.address)
        watches["asyncio"] = Watch(relay, args.reconnects, "asyncio", write)
        asyncio.run(lose_async(relay, watches["asyncio"]))
        watches["threads"] = Watch(relay, args.reconnects, "threads", write)
        lose_sync(relay, watches["threads"])
    write()
    for name, watch in watches.items():
        early, late = watch.looks[len(watch.looks) // 4], watch.looks[-1]
        print(name, early, late, "grown:", behind[name] or "nothing")
    return 1 if any(behind.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
