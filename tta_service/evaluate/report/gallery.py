"""Pictures whose answer adaptation mended, and pictures whose answer it broke, with the views that it looked at."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
import torch
from torch import Tensor

from ...core.errors import BadImage
from ...images.thumbnails import make_thumbnail
from ...maths import entropy
from ..evaluation import Evaluation, Outcome
from ..features import change_picture
from ..study import features_of

SHOWN, VIEWS = 6, 3  # pictures of each kind, and views of a picture
PICTURE, VIEW = 144, 64  # pixels of the longer side


def final_outcomes(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Of the first cell and order, each strategy after the most lessons that it was given."""
    first = [one for one in outcomes if (one.cell, one.order) == (outcomes[0].cell, outcomes[0].order)]
    return list({str(one.contender): one for one in first}.values())  # lessons come in ascending order


def choose_outcomes(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The two strategies that gain most and the one that loses most."""
    changed = [one for one in final_outcomes(outcomes) if one.row.right_flips + one.row.wrong_flips > 0]
    ranked = sorted(changed, key=lambda one: -one.row.difference)
    return list(dict.fromkeys([*ranked[:2], *(one for one in ranked[-1:] if one.row.difference < 0)]))


def gallery(made: Evaluation, outcome: Outcome) -> str:
    """Both kinds of pictures of one strategy, from the first of its streams."""
    run = outcome.runs[0].by_picture()
    answers = run.scores.argmax(1)
    right, before = answers == run.label, run.zero_shot == run.label
    row = outcome.row
    parts = [f"<h3>{escape(outcome.title)}</h3>"]
    for word, some, share in (
        ("Mended", right & ~before, row.right_flips),
        ("Broken", ~right & before, row.wrong_flips),
    ):
        places = np.flatnonzero(some)
        places = places[np.argsort(-run.scores.max(1)[places], kind="stable")][:SHOWN].tolist()
        parts.append(f'<h4>{word}: {share:.1f} % of the pictures</h4><div class="cards">')
        parts += [_card(made, outcome, int(run.picture[i]), run.scores[i], int(run.zero_shot[i]), word) for i in places]
        parts.append("</div>" if places else '<p class="soft">None.</p></div>')
    return "".join(parts)


def _card(made: Evaluation, outcome: Outcome, picture: int, scores: np.ndarray, before: int, word: str) -> str:
    data, names = made.plan.data, made.plan.data.names
    answer, label = int(scores.argmax()), int(data.labels[picture])
    try:
        pixels = change_picture(data, outcome.cell, picture, made.plan.seed)
        views = "".join(_views(made, outcome, picture))
    except (BadImage, OSError, ValueError) as error:  # it has gone meanwhile
        return f'<div class="card"><p class="soft">{escape(str(error))}</p></div>'
    old, new = ("bad", "good") if word == "Mended" else ("good", "bad")
    return (
        f'<div class="card" title="{escape(data.where(picture), quote=True)}">'
        f"{_image(pixels, PICTURE, names[label])}"
        f'<p><b>{escape(names[label])}</b><br><span class="{old}">{escape(names[before])}</span> → '
        f'<span class="{new}">{escape(names[answer])}</span> <span class="soft">{scores[answer]:.0%}</span></p>'
        f'<div class="views">{views}</div></div>'
    )


def _views(made: Evaluation, outcome: Outcome, picture: int) -> Iterator[str]:
    """The most certain views, each with its own answer."""
    needs = outcome.contender.needs
    if needs.views < 2:
        return
    rows = features_of(outcome.contender, made.encoded[outcome.cell]).rows(picture, needs.views)
    logits = made.text.scale * torch.from_numpy(rows.copy()) @ made.text.features.float().cpu().T  # [v, c]
    best = entropy(logits)[1:].argsort()[:VIEWS] + 1
    cut = made.extractor.picture_views(outcome.cell, picture, needs.views, needs.augment)
    for place in best.tolist():
        name = made.plan.data.names[int(logits[place].argmax())]
        yield f"<figure>{_image(cut[place], VIEW, name)}<figcaption>{escape(name)}</figcaption></figure>"


def _image(pixels: Tensor, side: int, words: str) -> str:
    data = base64.b64encode(make_thumbnail(pixels, side)).decode()
    return f'<img src="data:image/jpeg;base64,{data}" alt="{escape(words, quote=True)}">'
