"""Plots as SVG text, in the colours of the page's style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high` on pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high = self._scaled(self.low), self._scaled(self.high)
        share = (self._scaled(value) - low) / ((high - low) or 1)
        return self.start + share * (self.end - self.start)

    def ticks(self, wanted: int = 5) -> list[float]:
        """Round values between both ends."""
        if self.logarithmic:
            return self._powers(wanted)
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / wanted or 1))
        step *= next((factor for factor in (1, 2, 5) if (self.high - self.low) / (factor * step) <= wanted), 10)
        first = math.ceil(self.low / step)
        return [place * step for place in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def _powers(self, wanted: int) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for digits in ((1, 2, 5), (1,)):
            found = [digit * 10.0**power for power in range(first, last + 1) for digit in digits]
            inside = [one for one in found if self.low <= one <= self.high]
            if len(inside) <= 2 * wanted:
                break
        return inside

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 1e-12)) if self.logarithmic else value


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start", title: str = "") -> str:
    """Words at a place."""
    hint = f"<title>{escape(title)}</title>" if title else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}{hint}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "") -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def circle(x: float, y: float, radius: float, kind: str = "", title: str = "") -> str:
    """A dot; the title shows where the pointer rests."""
    hint = f"<title>{escape(title)}</title>" if title else ""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" class="{kind}">{hint}</circle>'


def rectangle(
    x: float, y: float, width: float, height: float, kind: str = "", title: str = "", opacity: float = 1
) -> str:
    """A filled rectangle."""
    hint = f"<title>{escape(title)}</title>" if title else ""
    size = f'width="{max(0, width):.1f}" height="{max(0, height):.1f}"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" {size} class="{kind}" fill-opacity="{opacity:.3f}">{hint}</rect>'


def path(points: Sequence[tuple[float, float]], kind: str = "") -> str:
    """Lines from point to point."""
    whole = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{whole}" class="{kind}"/>'


def figure(width: float, height: float, parts: Sequence[str], label: str) -> str:
    """The whole drawing; `label` says to those who cannot see it what it shows."""
    inside = "".join(parts)
    box = f'viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{width:.0f}px"'
    return f'<svg {box} role="img" aria-label="{escape(label, quote=True)}">{inside}</svg>'
