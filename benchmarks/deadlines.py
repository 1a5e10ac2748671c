"""Deadlines drawn at random around the service time, at twice the load that the service can do.

Single calls in an open loop (Poisson) from a process of its own; each strategy's service time, a plain answer and a
full batch are measured alone first, the capacity with eight calls always under way. Each call's deadline is between
nothing and twice its strategy's service time. Reported: how many were answered in time of those whose deadline allows a
whole batch that is on the device and one plain answer; what they got; and whether every lesser answer says how.

    python benchmarks/deadlines.py [--overload 2] [--seconds 60] [--strategies mta:views=64,zero:views=64,tda:views=32]
        [--max-rows 16] [--address HOST:PORT] [--name deadlines]

Without --address it starts a service of its own. Writes benchmarks/results/NAME.json and .md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from load_servers import SERVING, Server, start_server
from machine import load_average, processor

HERE = Path(__file__).resolve().parent
CAME = ("whole", "fewer", "plain", "silent")
BINS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0)


def main() -> int:
    args = _arguments()
    server_of_caller = contextlib.nullcontext(Server(args.address, ""))
    serving = [
        *SERVING,
        "--log-level",
        "error",
        "--set",
        f"batch.max_rows={args.max_rows}",
    ]  # lesser answers are logged
    options = {name: getattr(args, name) for name in ("overload", "seconds", "loop", "seed")}
    before = load_average()
    with server_of_caller if args.address else start_server(serving) as server:
        result = run(options | {"kinds": args.strategies, "address": server.address})
    machine = {"cpu": processor(), "cores": os.cpu_count(), "load_before": before, "load_after": load_average()}
    report = {"arguments": options | {"kinds": args.strategies}, "machine": machine, **result}
    out = HERE / "results"
    out.mkdir(exist_ok=True)
    text = table(report)
    (out / f"{args.name}.json").write_text(json.dumps(report | {"in_time": in_time(report)}) + "\n")
    (out / f"{args.name}.md").write_text(text)
    print(text)
    return 0


def run(args: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "deadlines_client.py"), json.dumps(args)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)


def in_time(report: dict[str, Any]) -> dict[str, float]:
    """Of the calls whose deadline allows a whole batch and one plain answer, and of all of them."""
    enough = report["batch"]["seconds"] + report["plain"]
    outcomes = report["outcomes"]
    possible = [one for one in outcomes if one[1] >= enough]
    answered = [one for one in possible if one[3] in CAME]
    return {
        "enough": enough,
        "calls": len(outcomes),
        "possible": len(possible),
        "answered": len(answered),
        "share": len(answered) / max(1, len(possible)),
        "silent": sum(one[3] == "silent" for one in outcomes),
    }


def table(report: dict[str, Any]) -> str:
    counted, args, machine = in_time(report), report["arguments"], report["machine"]
    names = [
        f"{name} ({', '.join(f'{k}={v:g}' for k, v in server_of_caller.items())})"
        for name, server_of_caller in args["kinds"]
    ]
    services = ", ".join(f"{name} {1000 * s:.0f} ms" for name, s in zip(names, report["alone"], strict=True))
    came = sorted({one[3] for one in report["outcomes"]}, key=lambda what: (what not in CAME, what))
    rows = [f"| deadline / service time | calls | {' | '.join(came)} | in time |", "| --- " * (len(came) + 3) + "|"]
    for low, high in pairwise(BINS):
        some = [one for one in report["outcomes"] if low <= one[1] / report["alone"][one[0]] < high]
        if some:
            each = " | ".join(str(sum(one[3] == what for one in some)) for what in came)
            good = sum(one[3] in CAME for one in some) / len(some)
            rows.append(f"| {low:g}–{high:g} | {len(some)} | {each} | {100 * good:.1f} % |")
    reasons = {why: sum(one[5] == why for one in report["outcomes"]) for why in {one[5] for one in report["outcomes"]}}
    reasons_text = ", ".join(f"{why.removeprefix('REASON_').lower()} {n}" for why, n in sorted(reasons.items()) if why)
    cpu = machine.get("cpu", "processor not recorded")
    return f"""# Deadlines at {args["overload"]:g} times the load

{counted["calls"]} calls in {args["seconds"]:g} s, {report["capacity"]:.1f} a second is what the service can do when all
is done that is asked for. Alone: {services}; a plain answer {1000 * report["plain"]:.0f} ms;
a batch of {report["batch"]["rows"]} rows {1000 * report["batch"]["seconds"]:.0f} ms.

**{100 * counted["share"]:.2f} %** ({counted["answered"]} of {counted["possible"]}) of the calls whose deadline allows
a whole batch and a plain answer ({1000 * counted["enough"]:.0f} ms) were answered in time.
Answers that were less than asked without saying how: {counted["silent"]}. Reasons given: {reasons_text}.

{chr(10).join(rows)}

Client and server on the same {machine["cores"]} cores ({cpu}); load of the machine
{machine["load_before"]:.1f} before, {machine["load_after"]:.1f} after.
"""


def _strategies(text: str) -> list[list[Any]]:
    """ "mta:views=64,zero:views=64": names with numbers."""
    kinds: list[list[Any]] = []
    for one in text.split(","):
        name, _, server_of_caller = one.partition(":")
        kinds.append(
            [name, {key: float(value) for key, value in (pair.split("=") for pair in server_of_caller.split(";"))}]
        )
    return kinds


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--overload", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--loop", type=float, default=8.0, help="seconds in which the capacity is measured")
    parser.add_argument("--strategies", type=_strategies, default="mta:views=64,zero:views=64,tda:views=32")
    parser.add_argument("--max-rows", type=int, default=16, help="of a forward; 0: what the service measures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--address", default="")
    parser.add_argument("--name", default="deadlines")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
