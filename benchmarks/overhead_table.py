"""The report of overhead.py as Markdown."""

from __future__ import annotations

from typing import Any

STAGES = ("decode", "look", "queue", "encode", "text", "turn", "adapt", "total")
TARGET = 0.90

HEAD = """# What the service costs beside the work itself

`python benchmarks/overhead.py` on {cores} cores ({cpu}), pocket model, {strategy} with {views} views, {image}.
Share: CPU seconds of decode + look + encode + adapt called directly, divided by those of the whole server process;
the target is {target:.2f} at 16 streams.

| streams | requests | requests/s | rows/s | raw rows/s | rows in a forward | alone CPU s | server CPU s | share |
|---|---|---|---|---|---|---|---|---|"""
ROW = (
    "| {streams} | {requests} | {requests_per_second:.2f} | {rows_per_second:.0f} | {raw_rows_per_second:.0f} "
    "| {batch_rows} | {alone_cpu:.3f} | {server_cpu:.3f} | **{share:.3f}** |"
)
FOOT = """
Raw: `encode_image` alone, in forwards of as many rows. CPU seconds of a request, alone: decode and look
{prepare_cpu:.4f}, adapt {adapt_cpu:.4f}, encode {forwards}."""


def table(report: dict[str, Any]) -> str:
    rows, alone = report["streams"], report["alone"]
    forwards = ", ".join(f"{f['cpu']:.3f} in forwards of {n} rows" for n, f in alone["forwards"].items())
    lines = [HEAD.format(**report["machine"], **report["request"], target=TARGET)]
    lines += [ROW.format(**row) for row in rows]
    lines += [FOOT.format(**alone | {"forwards": forwards}), ""]
    lines += ["Milliseconds in each stage, p50 (p95):", "", f"| streams | {' | '.join(STAGES)} |", "|---" * 9 + "|"]
    for row in rows:
        spread = (row["milliseconds"][stage] for stage in STAGES)
        lines.append(f"| {row['streams']} | " + " | ".join(f"{p50:.1f} ({p95:.1f})" for p50, p95 in spread) + " |")
    return "\n".join(lines) + "\n"
