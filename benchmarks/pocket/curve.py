"""The training curve as a picture."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def draw_curve(log: list[dict[str, float]], path: Path) -> None:
    """Top-1 on the tune split and the training loss over the views seen; each picture size with its own background."""
    figure, left = plt.subplots(figsize=(8, 5), dpi=100)
    seen = [line["seen"] / 1e3 for line in log]
    for name, title in (("tiny_imagenet", "Tiny ImageNet, 200 names"), ("cifar10", "CIFAR-10, 10 names")):
        whole = left.plot(seen, [line[name] for line in log], marker=".", label=f"top-1 on the tune split, {title}")
        crops = [line.get(f"{name}_crop", float("nan")) for line in log]
        left.plot(seen, crops, linestyle="--", color=whole[0].get_color(), label="… of one crop of each")
    start = 0.0
    for index, (side, lines) in enumerate(groupby(log, key=lambda line: line["side"])):
        end = max(line["seen"] / 1e3 for line in lines)
        left.axvspan(start, end, alpha=0.06 + 0.08 * (index % 2), color="grey")
        left.text((start + end) / 2, 95, f"{side:.0f} px", ha="center", fontsize=8)
        start = end
    left.set(xlabel="thousand views seen", ylabel="top-1, %", ylim=(0, 100))
    right = left.twinx()
    right.plot(seen, [line["loss"] for line in log], color="grey", linestyle=":", label="training loss")
    right.set(ylabel="loss")
    lines = [line for axes in (left, right) for line in axes.get_lines()]
    titles = [str(line.get_label()) for line in lines]
    left.legend(lines, titles, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncol=2, fontsize=8, frameon=False)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
