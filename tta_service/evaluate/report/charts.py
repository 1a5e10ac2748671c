"""The report's plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from ..evaluation import Outcome
from ..metrics import reliability
from ..rows import Row
from .svg import Axis, circle, figure, line, path, rectangle, text

NAMES, LINE = 190, 21  # pixels for names at the left, and of a line
KINDS = {"helps": "good", "hurts": "bad"}
SERIES = 8  # colours of lines in the page's style


def gains(rows: Sequence[Row]) -> str:
    """Points from plain CLIP with two standard errors, the best first. Rows of one group."""
    some = sorted((row for row in rows if row.contender != "zero_shot"), key=lambda row: -row.difference)
    if not some:
        return ""
    reach = max(max(abs(row.difference) + 2 * row.difference_error for row in some), 1.0)
    width, height = 720, 30 + LINE * len(some)
    x = Axis(-reach, reach, NAMES, width - 70)
    parts = [line(x(tick), 6, x(tick), height - 24, "zero" if not tick else "grid") for tick in x.ticks(7)]
    parts += [text(x(tick), height - 8, f"{tick:+g}" if tick else "0", "small", "middle") for tick in x.ticks(7)]
    for place, row in enumerate(some):
        y = 18 + LINE * place
        kind = KINDS.get(row.verdict, "unsure")
        low, high = (x(row.difference + side * row.difference_error) for side in (-2, 2))
        said = f"{row.contender}: {row.difference:+.1f} ± {row.difference_error:.1f} points"
        parts += [text(NAMES - 12, y + 4, _cut(row.contender), "name", "end", row.contender)]
        parts += [line(low, y, high, y, f"whisker {kind}"), circle(x(row.difference), y, 5, kind, said)]
        parts += [text(width - 60, y + 4, f"{row.difference:+.1f}", f"value {kind}")]
    return figure(width, height, parts, "Points of accuracy from plain CLIP, by strategy, with two standard errors")


def costs(rows: Sequence[Row]) -> str:
    """Accuracy against milliseconds a picture. Rows of one group."""
    if len(rows) < 2:
        return ""
    width, height = 720, 340
    spent = {id(row): 1e3 * (row.encode_seconds + row.adapt_seconds) for row in rows}
    x = Axis(0.8 * max(min(spent.values()), 1e-3), 1.6 * max(spent.values()), 50, width - 120, logarithmic=True)
    y = _vertical([row.top1 for row in rows], height)
    parts = _grid(y, 50, width - 20)
    parts += [text(x(tick), height - 22, f"{tick:g}", "small", "middle") for tick in x.ticks()]
    parts += [text((width - 70) / 2, height - 4, "ms a picture, encoding and adapting", "small", "middle")]
    taken = list[tuple[float, float]]()
    for row in sorted(rows, key=lambda row: -row.top1):
        at = x(spent[id(row)]), y(row.top1)
        kind = "plain" if row.contender == "zero_shot" else KINDS.get(row.verdict, "unsure")
        parts.append(circle(*at, 5, kind, f"{row.contender}: {row.top1:.1f} %, {spent[id(row)]:.1f} ms"))
        if all(abs(at[0] - other[0]) > 110 or abs(at[1] - other[1]) > 12 for other in taken):
            parts.append(text(at[0] + 8, at[1] + 4, _cut(row.contender, 18), "name"))
            taken.append(at)
    return figure(width, height, parts, "Accuracy in percent against milliseconds a picture")


def _vertical(values: Sequence[float], height: float) -> Axis:
    """Percent, with some room above and below."""
    margin = max(1.0, 0.08 * (max(values) - min(values)))
    return Axis(min(values) - margin, max(values) + margin, height - 40, 14)


def _grid(y: Axis, left: float, right: float) -> list[str]:
    lines = [line(left, y(tick), right, y(tick), "grid") for tick in y.ticks()]
    return lines + [text(left - 8, y(tick) + 4, f"{tick:g}", "small", "end") for tick in y.ticks()]


def calibration(outcome: Outcome) -> str:
    """How often answers of a confidence are right; bars show how many answers there are."""
    side, edge = 170, 26
    x, y = Axis(0, 1, edge, side - 6), Axis(0, 1, side - edge, 8)
    parts = [
        line(x(0), y(0), x(1), y(1), "zero"),
        line(x(0), y(0), x(1), y(0), "grid"),
        line(x(0), y(0), x(0), y(1), "grid"),
    ]
    for sure, right, share in reliability(outcome.scores, outcome.labels, 10):
        said = f"{share:.0%} of the answers: confidence {sure:.0%}, right {right:.0%}"
        parts += [
            line(x(sure), y(sure), x(sure), y(right), "gap"),
            circle(x(sure), y(right), 2.5 + 7 * share**0.5, "dot", said),
        ]
    parts += [text(x(0), side - 10, "0", "small", "middle"), text(x(1), side - 10, "1", "small", "middle")]
    parts += [text(edge - 6, y(1) + 4, "1", "small", "end")]
    drawn = figure(side, side, parts, f"Reliability of {outcome.title}")
    words = f'{escape(_cut(outcome.title))}<br><span class="soft">ECE {outcome.row.ece:.1f}</span>'
    return f"<figure>{drawn}<figcaption>{words}</figcaption></figure>"


def lessons(rows: Sequence[Row]) -> str:
    """Accuracy against lessons of each class, a line for each strategy that was taught. Rows of one shift and order."""
    counts = sorted({row.lessons for row in rows})
    taught = dict.fromkeys(row.contender for row in rows if row.lessons > min(counts))
    if not taught:
        return ""
    width, height = 720, 300
    some = [row for row in rows if row.contender in (*taught, "zero_shot")]
    x, y = Axis(0, len(counts) - 1, 60, width - 180), _vertical([row.top1 for row in some], height)
    parts = _grid(y, 60, width - 180)
    parts += [text(x(place), height - 22, str(count), "small", "middle") for place, count in enumerate(counts)]
    parts += [text((width - 120) / 2, height - 4, "lessons of each class", "small", "middle")]
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in some:
        lines.setdefault(row.contender, []).append((x(counts.index(row.lessons)), y(row.top1)))
    parts += [line(60, at, width - 180, at, "zero dashed") for _, at in lines.pop("zero_shot", [])]
    parts += list(_lines(lines, width - 170))
    return figure(width, height, parts, "Accuracy in percent against lessons of each class")


def _lines(by_name: Mapping[str, list[tuple[float, float]]], x: float) -> Iterator[str]:
    """A line for each name, with the names beside their ends."""
    for place, points in enumerate(by_name.values()):
        yield path(sorted(points), f"series s{place % SERIES}")
        yield from _dots(points, f"series s{place % SERIES}")
    yield from _spread([(max(points)[1], name, place) for place, (name, points) in enumerate(by_name.items())], x)


def _dots(points: Sequence[tuple[float, float]], kind: str) -> list[str]:
    return [circle(*point, 3, kind) for point in points]


def _spread(ends: list[tuple[float, str, int]], x: float) -> Iterator[str]:
    """Names beside the ends of lines, none above another."""
    last = -20.0
    for y, name, place in sorted(ends):
        last = max(y, last + 14)
        yield text(x, last + 4, _cut(name), f"name t{place % SERIES}")


def confusion(outcome: Outcome, names: Sequence[str]) -> str:
    """A square for each class and answer; darker is more often, of the pictures of the class."""
    from sklearn.metrics import confusion_matrix

    answers = outcome.scores.argmax(1)
    shares = confusion_matrix(outcome.labels, answers, labels=range(len(names)), normalize="true")
    cell = max(12, min(30, 300 // len(names)))
    left, top = 110, 8
    width, height = left + cell * len(names) + 8, top + cell * len(names) + 96
    parts = list[str]()
    for row, name in enumerate(names):
        parts.append(text(left - 8, top + cell * (row + 0.5) + 4, _cut(name, 16), "small", "end", name))
        x, y = left + cell * (row + 0.5) + 3, top + cell * len(names) + 10
        parts.append(
            f'<g transform="rotate(-55 {x:.1f} {y:.1f})">{text(x, y, _cut(name, 16), "small", "end", name)}</g>'
        )
        for column, other in enumerate(names):
            said = f"{shares[row, column]:.0%} of {name} are answered {other}"
            at = left + cell * column, top + cell * row, cell - 1, cell - 1
            parts.append(rectangle(*at, "good" if row == column else "bad", said, float(shares[row, column])))
            parts.append(rectangle(*at, "frame"))
    caption = f"{_cut(outcome.title)}: classes down, answers across"
    return f"<figure>{figure(width, height, parts, caption)}<figcaption>{escape(caption)}</figcaption></figure>"


def _cut(words: str, most: int = 26) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"
