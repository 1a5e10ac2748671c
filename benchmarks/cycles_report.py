"""The report of cycles.py as JSON and Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

COUNTED = ("objects", "sessions", "streams", "memory_bytes", "inside", "buffered", "stored", "tasks", "files", "rss")
HEAD = """# {cycles} lives of cameras, {verdict}

`python benchmarks/cycles.py` in {seconds:.0f} s on {cores} cores ({cpu}, load average {load:.1f}), pocket model,
a folder as state store. After each round everything comes to rest and named sessions are closed; then the server holds:

| cycles | live objects | sessions | streams | memories, B | in flight | frames, B | stored | tasks | files | MB |
|---|---|---|---|---|---|---|---|---|---|---|"""
FOOT = """
Live objects: sessions, memories, turns and cameras that the garbage collector finds. How the lives ended:
"""


def save(report: dict[str, Any], at: Path) -> str:
    """Writes both; returns the Markdown."""
    at.parent.mkdir(exist_ok=True)
    text = table(report)
    at.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
    at.with_suffix(".md").write_text(text)
    return text


def table(report: dict[str, Any]) -> str:
    behind = report["behind"]
    verdict = f"and they leave {', '.join(behind)} behind" if behind else "and they leave nothing behind"
    lines = [
        HEAD.format(
            **{"cpu": "processor not recorded"} | report["machine"],
            cycles=report["cycles"],
            seconds=report["seconds"],
            verdict=verdict,
        )
    ]
    counted = ((one["cycles"], *(one[what] for what in COUNTED)) for one in report["rounds"])
    lines += ["| " + " | ".join(f"{number:.0f}" for number in row) + " |" for row in counted]
    lines += [FOOT, "| how | lives |", "|---|---|"]
    lines += [f"| {how} | {count} |" for how, count in sorted(report["endings"].items(), key=lambda pair: -pair[1])]
    return "\n".join(lines) + "\n"
