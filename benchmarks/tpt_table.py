"""The report of tpt.py as Markdown."""

from __future__ import annotations

from typing import Any

HEAD = """# TPT after image encoding, beside the way it is usually written

`python benchmarks/tpt.py` on {cpu}, {cores} cores, torch {torch}, {threads} thread(s).
ViT-B-16 text tower with random weights, float32, SDPA, 64 views, `a photo of a {{}}.`; the image tower takes no part.
Plain: every class padded to 77 tokens, forward, backward, AdamW step, forward, for every image. Above
100 classes it runs in chunks of 100; the pass that only the chunks make necessary is not counted.
{runs}. Times: medians of CPU time of one process for each row, in which the plain way's frames stand
amid ours, while other work ran on the machine (load average up to {load:.0f}).

## Time

| names | classes | tokens of their own | plain ms | kept ms | times less | recomputed ms | times less | pulled back |
|---|---|---|---|---|---|---|---|---|
"""
TIME = (
    "| {names} | {classes} | {own_tokens} | {plain} | {kept:.0f} | **{a:.1f}** | {again:.0f} | **{b:.1f}** | {pulled} |"
)
TIME_FOOT = """
Target at 100 and 1000 classes: 25 times less kept, 15 times less recomputed. Pulled back: the share of classes that
the backward pass could not leave out. In brackets: measured with other names; all are padded alike."""
MEMORY = """
## Memory

Resident: what stays between images beside model and text space. Peak: the most that one image needs above that (the
process's high-water mark, reset after a warm-up). The plain way was measured at {few} and {many} classes, whole; its
peak at other sizes is on the line through both. In chunks of 100 classes it needs at any size what it needs at 100,
and a forward pass more.

| names | classes | plain peak MB | kept: resident MB | kept: peak MB | recomputed: peak MB | times less than plain |
|---|---|---|---|---|---|---|
"""
MEMORY_FOOT = """
Target: at most 1100 MB resident at 1000, 30 times less peak when recomputed at 100 and 1000 classes."""
AGREEMENT = """
## Agreement with the plain way

| names | classes | way | frames (changed by TPT) | same top-1 (of the changed) | max Δg / max g | max Δ logit |
|---|---|---|---|---|---|---|
"""


def table(report: dict[str, Any]) -> str:
    rows = [*report["compare"], *report["peak"]]
    measured = {"threads": max(row["threads"] for row in rows), "load": max(row["load"] for row in rows)}
    begun = {row["run"] for row in rows}
    measured["runs"] = (
        f"All rows are of one run, begun {min(begun)}" if len(begun) == 1 else f"Rows are of {len(begun)} runs"
    )
    lines = [HEAD.format(**measured, **report["machine"]).rstrip("\n")]
    padded = {row["classes"]: row["seconds"]["plain"] for row in report["compare"] if "plain" in row["seconds"]}
    lines += [_time(row, padded) for row in report["compare"] if row["classes"] in padded]
    lines.append(TIME_FOOT)
    plain = {row["classes"]: row["peak"] for row in report["peak"] if row["way"] == "plain"}
    lines += _peaks(report["peak"], *sorted(plain), plain) if len(plain) == 2 else []
    lines.append(AGREEMENT.rstrip("\n"))
    lines += [_agreement(row, way) for row in report["compare"] for way in row["agreement"]]
    return "\n".join(lines) + "\n"


def _peaks(rows: list[dict[str, Any]], few: int, many: int, plain: dict[int, int]) -> list[str]:
    lines = [MEMORY.format(few=few, many=many).rstrip("\n")]
    ways = {(row["names"], row["classes"], row["way"]): row for row in rows}
    for names, classes, way in ways:
        again = ways.get((names, classes, "recomputed"))
        if way == "kept" and again:
            whole = plain[few] + (plain[many] - plain[few]) * (classes - few) / (many - few)
            lines.append(_memory(whole, ways[names, classes, way], again))
    return [*lines, MEMORY_FOOT]


def _time(row: dict[str, Any], padded: dict[int, float]) -> str:
    """The plain way costs the same whatever the names are: where it was not run, its time is that of other names."""
    seconds = row["seconds"]
    kept, again = 1e3 * seconds["kept"], 1e3 * seconds["recomputed"]
    plain = 1e3 * seconds.get("plain", padded[row["classes"]])
    shown = {key: row[key] for key in ("names", "classes", "own_tokens")}
    plain_text = f"{plain:.0f}" if "plain" in seconds else f"({plain:.0f})"
    pulled = f"{row['pulled']:.0%}"
    return TIME.format(
        **shown, plain=plain_text, kept=kept, again=again, a=plain / kept, b=plain / again, pulled=pulled
    )


def _memory(plain: float, kept: dict[str, Any], again: dict[str, Any]) -> str:
    sizes = " | ".join(f"{size / 1e6:.0f}" for size in (plain, kept["resident"], kept["peak"], again["peak"]))
    return f"| {kept['names']} | {kept['classes']} | {sizes} | **{plain / again['peak']:.1f}** |"


def _agreement(row: dict[str, Any], way: str) -> str:
    plain_text = row["agreement"][way]
    frames = f"{row['plain_frames']} ({row['plain_frames_changed']})"
    same = f"{plain_text['same']} ({plain_text['same_changed']})"
    off = f"{plain_text['gradient_off']:.1e} | {plain_text['logits_off']:.1e}"
    return f"| {row['names']} | {row['classes']} | {way} | {frames} | {same} | {off} |"
