"""What the service's own histograms save over those of prometheus_client, in one run.

Both hold what `tta_stage_duration_seconds` holds when every strategy has answered: a child for each stage of each
strategy. Timed are adding one value, with and without a trace, and writing the text of a scrape; and how long twelve
hops between an event loop and a thread take, about as many as a request makes, while another thread writes that text.

    python benchmarks/histograms.py

Writes benchmarks/results/histograms.json.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

from machine import processor
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as TheirHistogram

from tta_service.core.catalogue import strategies
from tta_service.core.request import STAGES
from tta_service.telemetry.exposition import Registry
from tta_service.telemetry.histograms import observe
from tta_service.telemetry.instruments import SECONDS

OUT = Path(__file__).parent / "results" / "histograms.json"
NAME, HELP, LABELS = "tta_stage_duration_seconds", "Time in one stage.", ("stage", "strategy")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HOPS = 12


def main() -> int:
    registry, their_registry = Registry(), CollectorRegistry()
    ours = registry.histogram(NAME, HELP, LABELS, SECONDS)
    theirs = TheirHistogram(NAME, HELP, LABELS, buckets=SECONDS, registry=their_registry)
    children = list(product(STAGES, strategies.names()))
    for child in children:
        observe([(ours[child], 0.01)])
        theirs.labels(*child).observe(0.01)
    our_child, their_child = ours[children[0]], theirs.labels(*children[0])
    scrapes = {"ours": registry.render, "prometheus_client": lambda: generate_latest(their_registry)}
    seconds = {
        "observe": {
            "ours": _fastest(lambda: observe([(our_child, 0.03)]), 20_000),
            "prometheus_client": _fastest(lambda: their_child.observe(0.03), 20_000),
        },
        "observe with a trace": {
            "ours": _fastest(lambda: observe([(our_child, 0.03)], TRACE), 20_000),
            "prometheus_client": _fastest(lambda: their_child.observe(0.03, {"trace_id": TRACE}), 20_000),
        },
        "scrape": {name: _fastest(scrape, 20) for name, scrape in scrapes.items()},
        f"{HOPS} hops during a scrape": {name: asyncio.run(_hops(scrape)) for name, scrape in scrapes.items()},
        f"{HOPS} hops alone": {"both": asyncio.run(_hops(lambda: None))},
    }
    found = {"processor": processor(), "children": len(children), "seconds": seconds}
    OUT.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return 0


def _fastest(work: Callable[[], object], times: int) -> float:
    """The seconds of one call, in the fastest of seven rounds."""
    rounds: list[float] = []
    for _ in range(7):
        began = time.perf_counter()
        for _ in range(times):
            work()
        rounds.append((time.perf_counter() - began) / times)
    return min(rounds)


async def _hops(scrape: Callable[[], object]) -> float:
    """The median seconds of `HOPS` calls in a thread, one after the other, each begun while a scrape may run."""
    found: list[float] = []
    with ThreadPoolExecutor(1) as lane:
        for _ in range(25):
            scraping = threading.Thread(target=scrape)
            scraping.start()
            began = time.perf_counter()
            for _ in range(HOPS):
                await asyncio.get_running_loop().run_in_executor(lane, int)
            found.append(time.perf_counter() - began)
            scraping.join()
    return statistics.median(found)


if __name__ == "__main__":
    sys.exit(main())
