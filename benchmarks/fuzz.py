"""Inputs of every kind that the service takes: only typed errors may come of them, and no harm to a neighbour.

Hypothesis strategies made from the descriptors draw messages (fuzz_messages.py), which are then changed in places:
valid, nearly valid, extreme, absent, of the wrong kind. Pictures are changes of real ones of every format. The columns
of fuzz_offline.py call parsers and methods in this process, over a small random CLIP; those of fuzz_doors.py ask a
server in a process of its own by every transport, beside a healthy neighbour whose answers are compared with those that
it has alone, and watch the server's memory.

    python benchmarks/fuzz.py --minutes 4 [--columns calls,pictures] [--seed 1]

Adds its counts to those in benchmarks/results/fuzz.json, and writes fuzz.md. Exit status 1 when an input failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import uvloop
from fuzz_doors import DOORS
from fuzz_offline import OFFLINE, Tally
from machine import load_average, processor

OUT = Path(__file__).resolve().parent / "results" / "fuzz.json"
HEAD = """# Inputs of every kind

`python benchmarks/fuzz.py`, {runs} runs, on {cpu}. Accepted: without an error. Failures: answers that
are no typed error, or that take more than two seconds of processor time.

| column | inputs | a second | accepted | kinds of failure |
|---|---|---|---|---|
"""
BESIDE = """
Beside them, at the server's ports:

| column | neighbour's answers | wrong | RSS, MB, of the first third | of the last |
|---|---|---|---|---|
"""


async def run(columns: list[str], minutes: float, seed: int, keep: Callable[[str, dict[str, Any]], None]) -> int:
    """How many kinds of failure there were; what became of the inputs of each column is given to `keep`."""
    failures, seconds = 0, 60 * minutes / len(columns)
    for name in columns:
        tally = Tally()
        about = await (OFFLINE | DOORS)[name](seconds, tally, random.Random(f"{seed} {name}"))
        keep(name, asdict(tally) | (about or {}))
        failures += len(tally.failures)
        print(f"{name}: {tally.inputs} inputs, {tally.accepted} accepted, {about or ''}", flush=True)
        for what, given in tally.failures.items():
            print(f"  {what}\n    {given[:600]}", flush=True)
    return failures


def add(total: dict[str, Any], more: dict[str, Any]) -> None:
    """The counts of a further run."""
    for name, tally in more.items():
        sums = total.setdefault(name, {"inputs": 0, "accepted": 0, "seconds": 0.0, "failures": {}})
        for what in ("inputs", "accepted", "seconds"):
            sums[what] = round(sums[what] + tally[what], 1) if what == "seconds" else sums[what] + tally[what]
        sums["failures"] = {what: text[:300] for what, text in (sums["failures"] | tally["failures"]).items()}
        for what, value in tally.items():
            if what.startswith("neighbour"):
                sums[what] = sums.get(what, 0) + value
            elif what.startswith("rss"):
                sums[what] = value  # of the last run


def table(report: dict[str, Any]) -> str:
    lines = [HEAD.format(runs=len(report["runs"]), cpu=report["cpu"])]
    rows = report["columns"]
    for name, row in rows.items():
        speed = row["inputs"] / row["seconds"] if row["seconds"] else 0
        lines.append(f"| {name} | {row['inputs']:,} | {speed:,.0f} | {row['accepted']:,} | {len(row['failures'])} |\n")
    inputs = sum(row["inputs"] for row in rows.values())
    lines.append(f"| all | {inputs:,} | | | {sum(len(row['failures']) for row in rows.values())} |\n")
    watched = {name: row for name, row in rows.items() if "neighbour_calls" in row}
    lines += [BESIDE] if watched else []
    for name, row in watched.items():
        memory = f"{row['rss_early']:.0f} | {row['rss_late']:.0f}"
        lines.append(f"| {name} | {row['neighbour_calls']} | {row['neighbour_wrong']} | {memory} |\n")
    return "".join(lines)


def main() -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--minutes", type=float, default=4.0)
    ask.add_argument("--columns", default="", help="parts of names, with commas between; all without")
    ask.add_argument("--seed", type=int, default=int(time.time()))
    ask.add_argument("--out", type=Path, default=OUT)
    args = ask.parse_args()
    logging.disable(logging.ERROR)  # each input may be worth a line
    chosen = [name for name in OFFLINE | DOORS if any(part in name for part in args.columns.split(","))]
    report = json.loads(args.out.read_text()) if args.out.exists() else {"cpu": processor(), "runs": [], "columns": {}}
    about = {"minutes": args.minutes, "columns": chosen, "seed": args.seed, "cores": os.cpu_count()}
    report["runs"].append(about | {"load_average": load_average()})

    def keep(name: str, tally: dict[str, Any]) -> None:
        add(report["columns"], {name: tally})
        args.out.write_text(json.dumps(report, indent=1) + "\n")
        args.out.with_suffix(".md").write_text(table(report))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        failures = runner.run(run(chosen, args.minutes, args.seed, keep))
    print(table(report))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
