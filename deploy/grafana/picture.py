"""python -m deploy.grafana.picture [http://127.0.0.1:9090] [minutes]: each dashboard as a PNG, without Grafana.

Sends the panels' queries to a running Prometheus and draws the results in the dashboards' layout.
"""

from __future__ import annotations

import io
import json
import math
import re
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from PIL import Image

from .queries import fill_variables, pages, panels

INK, PAPER, SHEET = "#d8d9da", "#111217", "#181b1f"
COLOURS = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#96d98d", "#fade2a", "#ca95e5")
THRESHOLDS = {"green": "#73bf69", "orange": "#ff780a", "red": "#f2495c"}
POINTS = 120  # in time
CELL = (0.62, 0.36)  # inches of Grafana's grid
SCALES = {
    "bytes": ((2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"), (1, " B")),
    "s": ((86400, " d"), (3600, " h"), (60, " min"), (1, " s"), (1e-3, " ms"), (1e-6, " µs")),
    "percentunit": ((0.01, " %"),),
    "reqps": ((1, " req/s"),),
    "ops": ((1, " /s"),),
}
Series = tuple[str, list[float], list[float]]  # legend, times, values


def format_value(value: float, unit: str) -> str:
    """A number as Grafana writes it."""
    if math.isnan(value):
        return "no traffic"
    scales = SCALES.get(unit, ((1, ""),))
    plain = next((scale for scale in scales if scale[0] == 1), scales[-1])
    size, name = next((scale for scale in scales if abs(value) >= scale[0]), scales[-1] if value else plain)
    return f"{value / size:.3g}{name}"


def fetch(address: str, query: str, start: float, end: float) -> list[dict[str, Any]]:
    """The series of a query between `start` and `end` (Unix seconds)."""
    step = max(1.0, (end - start) / POINTS)
    arguments = urllib.parse.urlencode({"query": query, "start": start, "end": end, "step": step})
    with urllib.request.urlopen(f"{address}/api/v1/query_range?{arguments}", timeout=30) as reply:
        return json.load(reply)["data"]["result"]


def fill_legend(form: str, labels: dict[str, str]) -> str:
    """A line's name: `{{label}}` becomes the value of that label."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), form)


def series(address: str, panel: dict[str, Any], start: float, end: float, window: str) -> list[Series]:
    """All lines of a panel, times in minutes from the end."""
    lines: list[Series] = []
    for target in panel["targets"]:
        answers = fetch(address, fill_variables(target["expr"], window), start, end)
        for found in sorted(answers, key=lambda found: sorted(found["metric"].items())):
            times, values = zip(*((float(at), float(value)) for at, value in found["values"]), strict=True)
            name = fill_legend(target["legendFormat"], found["metric"])
            lines.append((name, [(at - end) / 60 for at in times], list(values)))
    return lines


def draw_lines(axes: Axes, panel: dict[str, Any], lines: list[Series], minutes: float) -> None:
    """A time series panel."""
    defaults = panel["fieldConfig"]["defaults"]
    unit, stacked = defaults["unit"], defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal"
    floor: dict[float, float] = {}
    for number, (name, times, values) in enumerate(lines):
        colour, below = COLOURS[number % len(COLOURS)], [floor.get(at, 0.0) for at in times]
        solid = [0.0 if stacked and math.isnan(value) else value for value in values]
        top = [value + under for value, under in zip(solid, below, strict=True)] if stacked else solid
        axes.plot(times, top, color=colour, linewidth=1, label=name)
        if stacked:
            axes.fill_between(times, below, top, color=colour, alpha=0.3, linewidth=0)
            floor.update(zip(times, top, strict=True))
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is not None and step["value"] < axes.get_ylim()[1]:
            axes.axhline(step["value"], color=THRESHOLDS[step["color"]], linewidth=0.7, linestyle="--")
    axes.set_xlim(-minutes, 0)
    if all(value >= 0 for _, _, values in lines for value in values if not math.isnan(value)):
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_value(value, unit)))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:.3g} min" if minutes > 5 else f"{60 * value:.0f} s")
    )
    axes.tick_params(colors="#8e9297", labelsize=5.5, length=0)
    axes.grid(color="#2c3235", linewidth=0.5)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.11), ncols=5, fontsize=5, frameon=False, labelcolor=INK,
                handlelength=1, columnspacing=1)  # fmt: skip


def draw_numbers(axes: Axes, panel: dict[str, Any], lines: list[Series]) -> None:
    """A panel of numbers: the last value of each line."""
    defaults = panel["fieldConfig"]["defaults"]
    words = {key: value["text"] for mapping in defaults["mappings"] if mapping["type"] == "value"
             for key, value in mapping["options"].items()}  # fmt: skip
    many = len(lines) > 2
    for number, (name, _, values) in enumerate(lines):
        last = next((value for value in reversed(values) if not math.isnan(value)), math.nan)
        colour = "green"
        for step in defaults["thresholds"]["steps"]:
            if step["value"] is None or last >= step["value"]:
                colour = step["color"]
        text = words.get(f"{last:g}", format_value(last, defaults["unit"]))
        at = (number + 0.5) / len(lines)
        place = (0.5, 1 - at) if many else (at, 0.42)
        axes.text(*place, text, color=THRESHOLDS[colour], fontsize=13, ha="center", va="center", weight="bold")
        if len(lines) > 1 or "{{" in panel["targets"][0]["legendFormat"]:
            axes.text(place[0], place[1] - 0.3, name, color="#8e9297", fontsize=5.5, ha="center", va="center")
    axes.set_axis_off()


def draw_page(page: dict[str, Any], address: str, end: float, minutes: float, window: str) -> Figure:
    """One dashboard in the layout of the screen, over the last `minutes` before `end` (Unix seconds)."""
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in page["panels"])
    figure = Figure(figsize=(24 * CELL[0], rows * CELL[1] + 0.4), facecolor=PAPER)
    height = rows + 0.4 / CELL[1]
    figure.text(0.006, 1 - 0.5 / height, page["title"], color=INK, fontsize=11, weight="bold", va="center")
    figure.text(0.2, 1 - 0.5 / height, page["description"], color="#8e9297", fontsize=7.5, va="center")

    def place(panel: dict[str, Any], left: float, right: float, top: float, bottom: float) -> tuple[float, ...]:
        at = panel["gridPos"]
        low = rows - at["y"] - at["h"] + bottom
        return ((at["x"] + left) / 24, low / height, (at["w"] - left - right) / 24, (at["h"] - top - bottom) / height)

    for panel in page["panels"]:
        if panel["type"] == "row":
            at = place(panel, 0.15, 0, 0, 0.35)
            figure.text(at[0], at[1], f"⌄ {panel['title']}", color=INK, fontsize=8.5)
    for panel in panels(page):
        sheet = figure.add_axes(place(panel, 0.08, 0.08, 0.08, 0.08), facecolor=SHEET, xticks=[], yticks=[])
        sheet.spines[:].set_color("#2c3235")
        at = panel["gridPos"]
        sheet.text(0.12 / at["w"], 1 - 0.55 / at["h"], panel["title"], color=INK, fontsize=7, va="center")
        stat = panel["type"] == "stat"
        axes = figure.add_axes(place(panel, 0.3, 0.3, 1, 0.4) if stat else place(panel, 1.15, 0.3, 1.1, 1.45))
        axes.set_facecolor(SHEET)
        axes.spines[:].set_visible(False)
        lines = series(address, panel, end - 60 * minutes, end, window)
        if not lines:
            axes.set_axis_off()
            axes.text(0.5, 0.5, panel["fieldConfig"]["defaults"]["noValue"], color="#8e9297", fontsize=8, ha="center")
        elif stat:
            draw_numbers(axes, panel, lines)
        else:
            draw_lines(axes, panel, lines, minutes)
    return figure


def draw_all(address: str, minutes: float, folder: Path, window: str = "30s") -> None:
    """Draws all dashboards over the last `minutes` as `folder`/*.png."""
    end = time.time()
    for name, page in pages().items():
        file = io.BytesIO()
        draw_page(page, address, end, minutes, window).savefig(file, dpi=90)
        Image.open(file).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(
            folder / f"{name}.png", optimize=True
        )


if __name__ == "__main__":
    given = [*sys.argv[1:], *("http://127.0.0.1:9090", "5")[len(sys.argv) - 1 :]]
    draw_all(given[0], float(given[1]), Path(__file__).parent)
