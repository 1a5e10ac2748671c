"""The report of tpt.py as Markdown."""

from __future__ import annotations

from typing import Any

HEAD = """# TPT after image encoding, beside the way it is usually written

`python benchmarks/tpt.py` on {cpu}, {cores} cores, torch {torch}, {threads} thread(s).
ViT-B-16 text tower with random weights, float32, SDPA, 64 views, `a photo of a {{}}.`; the image tower takes no part.
Plain: every class padded to 77 tokens, forward, backward, AdamW step, forward, for every image. Above
100 classes it runs in chunks of 100; the pass that only the chunks make necessary is not counted.
Times: medians of CPU time of one process, in which the plain way's frames stand amid ours, while other work ran on the
machine (load average up to {load:.0f}).

## Time

| names | classes | tokens of their own | plain ms | kept ms | times less | recomputed ms | times less | pulled back |
|---|---|---|---|---|---|---|---|---|
"""
TIME = (
    "| {names} | {classes} | {own_tokens} | {plain:.0f} | {kept:.0f} | **{a:.1f}** | {again:.0f} | **{b:.1f}** "
    "| {pulled} |"
)
MEMORY = """
Target at 100 and 1000 classes: 25 times less kept, 15 times less recomputed. Pulled back: the share of classes that
the backward pass could not leave out.

## Memory

Resident: what stays between images beside model and text space. Peak: the most that one image needs above that (the
process's high-water mark, reset after a warm-up). The plain way was measured at {few} and {many} classes, whole; its
peak at other sizes is on the line through both.

| names | classes | plain peak MB | kept: resident MB | kept: peak MB | recomputed: peak MB | times less than plain |
|---|---|---|---|---|---|---|
"""
AGREEMENT = """
Target: at most 1100 MB resident at 1000, 30 times less peak when recomputed at 100 and 1000 classes.

## Agreement with the plain way

| names | classes | way | frames (changed by TPT) | same top-1 (of the changed) | max Δg / max g | max Δ logit |
|---|---|---|---|---|---|---|
"""


def table(report: dict[str, Any]) -> str:
    rows = [*report["compare"], *report["peak"]]
    measured = {"threads": max(row["threads"] for row in rows), "load": max(row["load"] for row in rows)}
    lines = [HEAD.format(**measured, **report["machine"]).rstrip("\n")]
    lines += [_time(row) for row in report["compare"]]
    plain = {row["classes"]: row["peak"] for row in report["peak"] if row["way"] == "plain"}
    lines += _peaks(report["peak"], *sorted(plain), plain) if len(plain) == 2 else []
    lines.append(AGREEMENT.rstrip("\n"))
    lines += [_agreement(row, way) for row in report["compare"] for way in ("kept", "recomputed")]
    return "\n".join(lines) + "\n"


def _peaks(rows: list[dict[str, Any]], few: int, many: int, plain: dict[int, int]) -> list[str]:
    lines = [MEMORY.format(few=few, many=many).rstrip("\n")]
    ways = {(row["names"], row["classes"], row["way"]): row for row in rows}
    for names, classes, way in ways:
        again = ways.get((names, classes, "recomputed"))
        if way == "kept" and again:
            whole = plain[few] + (plain[many] - plain[few]) * (classes - few) / (many - few)
            lines.append(_memory(whole, ways[names, classes, way], again))
    return lines


def _time(row: dict[str, Any]) -> str:
    plain, kept, again = (1e3 * row["seconds"][way] for way in ("plain", "kept", "recomputed"))
    pulled = f"{row['pulled']:.0%}"
    shown = {key: row[key] for key in ("names", "classes", "own_tokens")}
    return TIME.format(**shown, plain=plain, kept=kept, again=again, a=plain / kept, b=plain / again, pulled=pulled)


def _memory(plain: float, kept: dict[str, Any], again: dict[str, Any]) -> str:
    sizes = " | ".join(f"{size / 1e6:.0f}" for size in (plain, kept["resident"], kept["peak"], again["peak"]))
    return f"| {kept['names']} | {kept['classes']} | {sizes} | **{plain / again['peak']:.1f}** |"


def _agreement(row: dict[str, Any], way: str) -> str:
    said = row["agreement"][way]
    frames = f"{row['plain_frames']} ({row['plain_frames_changed']})"
    same = f"{said['same']} ({said['same_changed']})"
    off = f"{said['gradient_off']:.1e} | {said['logits_off']:.1e}"
    return f"| {row['names']} | {row['classes']} | {way} | {frames} | {same} | {off} |"
