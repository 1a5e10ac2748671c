"""What the command `advise` prints."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..strategies import catalogue as strategies

if TYPE_CHECKING:
    from ..evaluate.advise.judge import Advice, Opinion
    from ..evaluate.advise.templates import TemplateAdvice
    from ..settings import Settings

HEAD = ("strategy", "gain", "changed", "stable", "entropy", "views", "ms an image", "")
UNLABELLED = (
    "A gain is believed, not measured: crops that a strategy has not seen judged it, and they are no labels.",
    "Judged with labels on the bundled model, advice like this did not pay for certain: what it gained over plain",
    "CLIP was within the errors (accuracy_advise.md in benchmarks/results). Check it with labels.",
)


def make_command(
    advice: Advice, best: TemplateAdvice, settings: Settings, labels: list[str], own: Iterable[str]
) -> str:
    """What to paste, so that images are answered as advised."""
    chosen, model = advice.chosen.strategy, settings.model
    default = asdict(strategies.build(chosen.name))  # type: ignore[call-overload]
    changed = {key: value for key, value in asdict(chosen).items() if value != default[key]}  # type: ignore[call-overload]
    options = [
        *(("--template", text) for text in ([best.name] if best.name else own)),
        ("--strategy", chosen.name),
        *(("--param", f"{key}={json.dumps(value)}") for key, value in changed.items()),
        *((("--model", model.name),) if model.name != "pocket" else ()),
        ("--pretrained", str(model.pretrained or "")),
        ("--checkpoint", str(model.checkpoint or "")),
        ("--model-config", model.config),
        ("--plugin", model.plugin),
    ]
    words = [*labels, *(word for flag, value in options if value for word in (flag, value))]
    return " ".join(["tta-service", "classify", "FILE...", *map(shlex.quote, words)])


def advice_lines(advice: Advice, best: TemplateAdvice, count: int, command: str) -> Iterable[str]:
    """For people to read: what to take, why, a table, and the command."""
    views = f" with {advice.opinion.views} views" if advice.opinion.views > 1 else ""
    labelled = advice.opinion.right is not None
    yield f"Looked at {count} images. Take `{advice.opinion.name}`{views}."
    yield ""
    if best.name:
        one = next(one for one in best.opinions if one.name == best.name)
        right = "" if one.right is None else f", {one.right:.0%} of the labelled images right"
        yield f"First take the template {best.name!r}: {one.gain:+.3f} ± {one.error:.3f} nats an image{right}."
    else:
        yield f"Keep your template: none of {len(best.opinions)} others is better by more than chance may do."
    yield ""
    yield " ".join(advice.reasons)
    yield ""
    rows = [HEAD, *(_cells(one) for one in sorted(advice.opinions, key=lambda one: -one.gain))]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEAD))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
    yield ""
    if labelled:
        yield "Gains are measured on the images that folders label, for the recommended template."
    else:
        yield from UNLABELLED
    yield ""
    yield command


def _cells(one: Opinion) -> tuple[str, ...]:
    return (
        one.name,
        f"{100 * one.gain:+.1f} ± {100 * one.error:.1f}",
        f"{one.changed:.0%}",
        f"{one.stable:.0%}",
        f"{one.entropy:.2f}",
        str(one.views),
        f"{1e3 * one.seconds:.1f}",
        "" if one.fits else "too slow",
    )


def advice_json(advice: Advice, best: TemplateAdvice, command: str) -> dict[str, object]:
    """The same for programs."""
    return {
        "template": best.name,
        "templates": [asdict(one) for one in best.opinions],
        "command": command,
        "strategy": advice.opinion.name,
        "parameters": asdict(advice.chosen.strategy),  # type: ignore[call-overload]
        "reasons": list(advice.reasons),
        "opinions": [asdict(one) for one in advice.opinions],
    }
