"""The report of overhead.py as Markdown."""

from __future__ import annotations

from typing import Any

STAGES = ("decode", "look", "queue", "encode", "text", "turn", "adapt", "total")
TARGET = 0.90

HEAD = """# What the service costs beside the work itself

`python benchmarks/overhead.py` on {cores} cores ({cpu}), pocket model, {strategy} with {views} views, {image}.
Share: CPU seconds of decode + look + encode + adapt called directly, divided by those of the whole server process;
the target is {target:.2f} at 16 streams. Load average of the machine at the end of the run: {load[0]:.1f}.

| streams | requests | requests/s | rows/s | raw rows/s | rows in a forward | alone CPU s | server CPU s | share |
|---|---|---|---|---|---|---|---|---|"""
ROW = (
    "| {streams} | {requests} | {requests_per_second:.2f} | {rows_per_second:.0f} | {alone[rows_per_second]:.0f} "
    "| {batch_rows} | {alone_cpu:.3f} | {server_cpu:.3f} | **{share:.3f}** |"
)
FOOT = """
Raw: `encode_image` alone, in forwards of as many rows. The direct calls follow each measurement of the service.
"""
PARTS = """| streams | decode and look | encode | adapt |
|---|---|---|---|"""


def table(report: dict[str, Any]) -> str:
    rows = report["streams"]
    lines = [HEAD.format(**report["machine"], **report["request"], target=TARGET)]
    lines += [ROW.format(**row) for row in rows]
    lines += [FOOT, "CPU seconds of a request, alone:", "", PARTS]
    lines += ["| {streams} | {prepare:.4f} | {encode:.4f} | {adapt:.4f} |".format(**row | row["alone"]) for row in rows]
    lines.append("")
    lines += ["Milliseconds in each stage, p50 (p95):", "", f"| streams | {' | '.join(STAGES)} |", "|---" * 9 + "|"]
    for row in rows:
        spread = (row["milliseconds"][stage] for stage in STAGES)
        lines.append(f"| {row['streams']} | " + " | ".join(f"{p50:.1f} ({p95:.1f})" for p50, p95 in spread) + " |")
    return "\n".join(lines) + "\n"
