"""Flowcharts in the few words of Mermaid that the documentation uses, drawn as SVG: no script, no other server."""

from __future__ import annotations

import re
from itertools import pairwise, product

HIGH, GAP, LETTER, SPACE = 30, 34, 7.5, 16  # pixels: a box, between rows, of a letter, between boxes


def draw(text: str) -> str:
    """The HTML of a flowchart: its arrows from top to bottom, then each of its subgraphs."""
    parts = re.split(r"^\s*(?:subgraph \w+ \[(.*)\]|end)\s*$", text, flags=re.MULTILINE)
    titles = ["", *parts[1::2]]  # an `end` has none
    charts = [(title or "", _edges(part)) for title, part in zip(titles, parts[::2])]
    return "\n".join(_svg(title, edges) for title, edges in charts if edges)


def _edges(text: str) -> list[tuple[str, str]]:
    """The arrows of lines such as `a & b --> c --> d`."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        groups = [re.findall(r"\w+", part) for part in line.split("-->")]
        found += [edge for left, right in pairwise(groups) for edge in product(left, right)]
    return found


def _rows(edges: list[tuple[str, str]]) -> list[list[str]]:
    """Boxes in rows, so that every arrow points down."""
    rank = {name: 0 for edge in edges for name in edge}
    for _ in rank:
        for above, below in edges:
            rank[below] = max(rank[below], rank[above] + 1)
    return [[name for name in rank if rank[name] == row] for row in range(max(rank.values()) + 1)]


def _svg(title: str, edges: list[tuple[str, str]]) -> str:
    rows = _rows(edges)
    lengths = [sum(len(name) * LETTER + 2 * SPACE for name in row) - SPACE for row in rows]
    width, height = max(lengths) + 2, len(rows) * (HIGH + GAP) - GAP + 2
    places: dict[str, tuple[float, float]] = {}
    for number, (row, length) in enumerate(zip(rows, lengths)):
        left = (width - length) / 2
        for name in row:
            places[name] = left + (len(name) * LETTER + SPACE) / 2, 1 + number * (HIGH + GAP)
            left += len(name) * LETTER + 2 * SPACE
    lines = [_line(*places[above], *places[below]) for above, below in edges]
    boxes = [_box(name, *place) for name, place in places.items()]
    picture = f'<svg viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{width:.0f}px;width:100%" role="img">'
    spoken = "; ".join(f"{above} to {below}" for above, below in edges)
    caption = f"<figcaption>{title}</figcaption>" if title else ""
    return (
        f'<figure style="width:100%">{picture}<title>{spoken}</title>{"".join(lines + boxes)}</svg>{caption}</figure>\n'
    )


def _line(x: float, y: float, to_x: float, to_y: float) -> str:
    path = f"M{x:.0f},{y + HIGH:.0f} C{x:.0f},{y + HIGH + GAP:.0f} {to_x:.0f},{to_y - GAP:.0f} {to_x:.0f},{to_y:.0f}"
    head = f"M{to_x - 4:.0f},{to_y - 7:.0f} L{to_x:.0f},{to_y:.0f} L{to_x + 4:.0f},{to_y - 7:.0f}"
    return f'<path d="{path} {head}" fill="none" stroke="currentColor" opacity="0.5"/>'


def _box(name: str, x: float, y: float) -> str:
    width = len(name) * LETTER + SPACE
    look = 'fill="var(--md-code-bg-color, #f5f5f5)" stroke="currentColor"'
    box = f'<rect x="{x - width / 2:.0f}" y="{y:.0f}" width="{width:.0f}" height="{HIGH}" rx="4" {look}/>'
    text = f'x="{x:.0f}" y="{y + 20:.0f}" text-anchor="middle" font-size="13" fill="currentColor"'
    return f"{box}<text {text}>{name}</text>"
