"""The pairs of classes that are taken for each other most, where a matrix would have too many."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from sklearn.metrics import confusion_matrix

from ..evaluation import Outcome

SHOWN = 15


def confused_table(outcome: Outcome, names: Sequence[str]) -> str:
    """Class, answer, and how many of the class's pictures got it."""
    counts = confusion_matrix(outcome.labels, outcome.scores.argmax(1), labels=range(len(names)))
    totals = counts.sum(1)
    np.fill_diagonal(counts, 0)
    worst = np.argsort(-counts, axis=None, kind="stable")[:SHOWN]
    rows = ""
    for label, answer in (divmod(int(place), len(names)) for place in worst):
        if counts[label, answer]:
            share = f"{counts[label, answer] / totals[label]:.0%}"
            rows += f"<tr><td>{escape(names[label])}</td><td>{escape(names[answer])}</td><td>{share}</td></tr>"
    head = "<tr><th>class</th><th>is answered</th><th>of its pictures</th></tr>"
    caption = f"<figcaption>{escape(outcome.title)}</figcaption>"
    return f"<figure><table><thead>{head}</thead><tbody>{rows}</tbody></table>{caption}</figure>"
