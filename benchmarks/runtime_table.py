"""What benchmarks/runtime.py measured, as a table and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot

SETS = ("tiny_imagenet", "cifar10")


def write_report(result: dict[str, Any], out: Path) -> None:
    """Beside `out`: the Markdown, and the curve where there are pictures."""
    out.with_suffix(".md").write_text(markdown(result))
    curve(result, out.with_suffix(".png"))


def describe(row: dict[str, Any]) -> str:
    return " ".join(word for word in (row["runtime"], row["precision"], row["compress"]) if word)


def rows_of(result: dict[str, Any], model: str) -> list[dict[str, Any]]:
    """Each form once: float32 eager stands in every part, as the measure of the others there."""
    parts = [rows for name, rows in result["parts"].items() if name.startswith(f"{model}:")]
    return [*(rows[0] for rows in parts[:1]), *(row for rows in parts for row in rows[1:])]


def markdown(result: dict[str, Any]) -> str:
    lines = [
        "# Precision, runtime and compression of the image tower",
        "",
        f"`benchmarks/runtime.py` on {result['cpu']}; torch {result['torch']}, {result['threads']} thread(s), CPU "
        "seconds; × is how many times faster than float32 eager in the same run, at 1, 8 and 64 rows. Megabytes: what "
        "the process holds above an empty one that has imported everything. Start: CPU seconds until it serves.",
    ]
    for model in dict.fromkeys(name.partition(":")[0] for name in result["parts"]):
        rows = rows_of(result, model)
        seen = [name for name in SETS if any(name in row for row in rows)]
        head = ["form", "× 1", "× 8", "× 64", "ms at 1", "MB", "start, s"]
        head += [f"{name}: {what}" for name in seen for what in ("top-1 %", "agreement %", "cosine (least)")]
        weights = "" if seen else ", random weights: speed and memory alone"
        if seen:
            weights = f", {result['pictures']} held-out pictures of each set"
        lines += ["", f"## {model}{weights}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for row in rows:
            cells = [describe(row), *(f"{row[f'x at {batch}']:.2f}" for batch in (1, 8, 64))]
            cells += [f"{row['ms at 1']:.1f}", f"{row['megabytes']}", f"{row['start']:.0f}"]
            for name in seen:
                some = row.get(name)
                cells += (
                    [
                        f"{some['accuracy']:.1f}",
                        f"{some['agreement']:.1f}",
                        f"{some['cosine']:.4f} ({some['least cosine']:.3f})",
                    ]
                    if some
                    else ["", "", ""]
                )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def curve(result: dict[str, Any], path: Path) -> None:
    """Agreement against speed-up at 8 rows, pocket model; and the speed-ups of the large one."""
    pocket = [row for row in rows_of(result, "pocket") if SETS[0] in row]
    named = rows_of(result, "ViT-B-16")
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(13, 5.5))
    for row in pocket:
        left.plot(row["x at 8"], row[SETS[0]]["agreement"], "o")
        left.annotate(describe(row), (row["x at 8"], row[SETS[0]]["agreement"]), fontsize=7, rotation=-35, va="top")
    left.set(title="pocket model", xlabel="speed-up at 8 rows", ylabel="top-1 agreement with float32, %")
    left.grid(alpha=0.3)
    for place, batch in enumerate((1, 8, 64)):
        right.barh(
            [i + 0.27 * place for i in range(len(named))],
            [row[f"x at {batch}"] for row in named],
            0.25,
            label=f"{batch}",
        )
    right.set_yticks([i + 0.27 for i in range(len(named))], [describe(row) for row in named], fontsize=7)
    right.set(title="ViT-B-16", xlabel="times as fast as float32 eager")
    right.legend(title="rows")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
