"""The report of tokens.py as Markdown, and its curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot

TITLE = "# What token reduction costs and saves"
ACCURACY = """## Accuracy of the pocket model on {folder}, {pictures} held-out pictures

Without reduction {none} %. In each cell: top-1, the difference to no reduction and, in brackets, to `random` at equal
cost, in points with the standard error of the paired difference. `random` is the mean of three patterns.
"""
SPEED = """## Speed-up of {name}

Pixels to features, one thread, ratios of CPU seconds in one run (load average {load} meanwhile); patches left at the
end.
"""
WITHIN = 1.5  # points that a speed-up may cost


def table(report: dict[str, Any]) -> str:
    cpu = report.get("cpu", "processor not recorded")
    lines = [
        TITLE,
        "",
        f"`python benchmarks/tokens.py`, torch {report['torch']}, eager, float32, {cpu}.",
        "",
    ]
    for folder, found in report.get("accuracy", {}).items():
        lines += [ACCURACY.format(folder=folder, pictures=found["pictures"], none=found["none"]), *_accuracy(found), ""]
    lines += _best(list(report["accuracy"].values())) if "accuracy" in report else []
    lines += _bargain(report) if "accuracy" in report and "pocket" in report else []
    for part, name in (("pocket", "the pocket model, its convolutional stem included"), ("ViT-B-16", "ViT-B-16")):
        if part in report:
            lines += [SPEED.format(name=name, load=report["load"][part]), *_speeds(report[part]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _accuracy(found: dict[str, Any]) -> list[str]:
    reducers = {name: cells for name, cells in found.items() if isinstance(cells, dict)}
    keeps = list(next(iter(reducers.values())))
    lines = ["| reducer | " + " | ".join(f"keep {keep}" for keep in keeps) + " |", "|---" * (len(keeps) + 1) + "|"]
    lines += [
        f"| `{name}` | " + " | ".join(_cell(cells[keep]) for keep in keeps) + " |" for name, cells in reducers.items()
    ]
    lines += ["", "The same answer as without reduction, % of pictures:", ""]
    lines += ["| reducer | " + " | ".join(f"keep {keep}" for keep in keeps) + " |", "|---" * (len(keeps) + 1) + "|"]
    same = {name: [f"{cells[keep]['same answer']:.1f}" for keep in keeps] for name, cells in reducers.items()}
    return lines + [f"| `{name}` | " + " | ".join(shares) + " |" for name, shares in same.items()]


def _cell(one: dict[str, Any]) -> str:
    (lost, doubt), (gained, margin) = one["to none"], one["to random"]
    return f"{one['top1']:.1f}: {lost:+.1f} ± {doubt:.1f}" + (f" ({gained:+.1f} ± {margin:.1f})" if margin else "")


def _best(sets: list[dict[str, Any]]) -> list[str]:
    """Who is furthest above `random`, over all sets alike."""
    names = [name for name, cells in sets[0].items() if isinstance(cells, dict) and name != "random"]
    text: list[str] = []
    for keep in sets[0]["random"]:
        each = {name: [found[name][keep]["to random"] for found in sets] for name in names}
        means = {name: sum(mean for mean, _ in some) / len(some) for name, some in each.items()}
        best = max(means, key=means.__getitem__)
        doubt = sum(error**2 for _, error in each[best]) ** 0.5 / len(sets)
        text.append(f"keep {keep}: `{best}` {means[best]:+.1f} ± {doubt:.1f}")
    return [f"Over {'both' if len(sets) == 2 else 'all'} sets, points above `random`: " + "; ".join(text) + ".", ""]


def _bargain(report: dict[str, Any]) -> list[str]:
    """The largest speed-up whose loss stays within the limit on every set."""
    kept: list[tuple[float, str, str, float]] = []
    for name, by_keep in report["pocket"].items():
        for keep, measured in by_keep.items():
            judged = [found[name][keep]["to none"][0] for found in report["accuracy"].values() if keep in found[name]]
            if judged and (lost := min(judged)) >= -WITHIN:
                kept.append((measured["speed-up at 64"], name, keep, lost))
    if not kept:
        return []
    fast, name, keep, lost = max(kept)
    text = (
        f"The largest speed-up at 64 rows that costs at most {WITHIN} points on each set: ×{fast:.2f}, `{name}` at keep"
    )
    return [f"{text} {keep} ({lost:+.1f} points where it costs most).", ""]


def _speeds(measured: dict[str, Any]) -> list[str]:
    batches = [key for key in next(iter(next(iter(measured.values())).values())) if key.startswith("speed-up")]
    head = ["reducer", "keep", "patches left", *(key.replace("speed-up at", "× at") for key in batches)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, by_keep in measured.items():
        for keep, one in by_keep.items():
            lines.append(
                f"| `{name}` | {keep} | {one['left']} | " + " | ".join(f"{one[b]:.2f}" for b in batches) + " |"
            )
    return lines


def curve(report: dict[str, Any], path: Path) -> None:
    """Top-1 against speed-up at 64 rows, one line per reducer, a panel per set."""
    sets = report["accuracy"]
    figure, panels = pyplot.subplots(1, len(sets), figsize=(11, 4.5))
    for panel, (folder, found) in zip(panels, sets.items(), strict=True):
        for name, by_keep in report["pocket"].items():
            speed = [1.0, *(one["speed-up at 64"] for one in by_keep.values())]
            top1 = [found["none"], *(found[name][keep]["top1"] for keep in by_keep if keep in found[name])]
            panel.plot(speed[: len(top1)], top1, marker="o", label=name, linestyle="--" if name == "random" else "-")
        panel.axhline(found["none"] - WITHIN, color="grey", linewidth=0.8, linestyle=":")
        panel.set(title=f"pocket model, {folder}", xlabel="speed-up at 64 rows", ylabel="top-1, %")
        panel.grid(alpha=0.3)
    panels[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
