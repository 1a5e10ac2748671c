"""The command `advise`: which strategy suits a folder of images."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import BadImage, BadLabels, BadParameters, BadRequest
from ..core.request import Encoded
from ..strategies import catalogue as strategies
from .options import AsJson, Configure, Duplicates, Templates, configure_command, label_set_of, names_of
from .text import json_line, printable

if TYPE_CHECKING:
    from ..app.judge import Advice, Opinion

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
FEWEST = 16  # images; fewer allow no judgement
HEAD = ("strategy", "believed gain", "changed", "stable", "entropy", "views", "ms an image", "")


@configure_command
def advise(
    configure: Configure,
    images: Annotated[Path, typer.Option(help="A folder with some of your images; they need no labels.")],
    labels: Annotated[str, typer.Option(metavar="A,B,...|@FILE", help="Names of the classes; @FILE: one name a line.")],
    deadline: Annotated[
        str | None, typer.Option(metavar="50ms", help="Time limit for one image; by default none.")
    ] = None,
    only: Annotated[str | None, typer.Option("--strategies", metavar="A,B,...", help="Try only these.")] = None,
    count: Annotated[int, typer.Option(min=FEWEST, help="Images to look at, at most.")] = 256,
    views: Annotated[int, typer.Option(min=0, max=512, help="0: 64, or as many as the deadline allows.")] = 0,
    template: Templates = None,
    allow_duplicates: Duplicates = False,
    as_json: AsJson = False,
) -> None:
    """Run the strategies on your own unlabelled images, and recommend one with the reasons."""
    settings = configure({"batch.max_rows": 64})
    names = _names(labels)
    tried = [word.strip() for word in only.split(",") if word.strip()] if only else list(strategies.names())
    for name in tried:
        strategies.get(name)  # a misspelt one fails now
    seconds = None if deadline is None else _seconds(deadline)
    images_chosen = _choose_images(images, count)
    from .. import app  # imports torch for seconds, so mistakes come first

    label_set = label_set_of(names, template, allow_duplicates)
    advice = app.advise(settings, label_set, images_chosen, tried, seconds, views, _show_progress)
    print(json_line(_json(advice)) if as_json else "\n".join(_lines(advice, len(images_chosen))))


def _names(text: str) -> tuple[str, ...]:
    names = names_of(text)
    if len(names) < 2:
        raise BadLabels("there is nothing to choose between with fewer than two labels", "labels")
    return names


def _choose_images(folder: Path, count: int) -> list[bytes]:
    """A seeded choice of the images in a folder and its subfolders. Names those that cannot be read on stderr."""
    if not folder.is_dir():
        raise BadRequest(f"{printable(str(folder))} is not a folder", "images")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    files = sorted(path for path in found if not path.is_fifo())  # reading a pipe may block
    read = map(_read, random.Random(0).sample(files, min(count, len(files))))
    images = [image for image in read if image is not None]
    if len(images) < FEWEST:
        count_found = f"{printable(str(folder))} holds {len(images)} images that can be read"
        raise BadImage(f"{count_found}; at least {FEWEST} are needed to judge anything", "images")
    return images


def _read(file: Path) -> bytes | None:
    from ..images.decode import decode  # imports torch for seconds, so mistakes come first

    try:
        image = file.read_bytes()
        decode(Encoded(image))
        return image
    except (OSError, BadImage) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        print(f"tta-service: {printable(str(file))}: {reason}", file=sys.stderr)
        return None


def _seconds(text: str) -> float:
    """`50ms`, `0.05s` or `0.05` to seconds. Raises `BadParameters`."""
    parts = re.fullmatch(r"([0-9.]+)\s*(ms|s)?", text.strip())
    try:
        value = float(parts[1]) / (1000 if parts[2] == "ms" else 1) if parts else 0.0
    except ValueError:
        value = 0.0
    if not value > 0:
        raise BadParameters(f"{text!r}: write a deadline as 50ms or 0.05s", "deadline")
    return value


def _show_progress(what: str, done: int, of: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done + 1 == of else ""
        print(f"\r{what} {done + 1} of {of}\033[K", end=end, file=sys.stderr, flush=True)


def _lines(advice: Advice, count: int) -> Iterable[str]:
    views = f" with {advice.opinion.views} views" if advice.opinion.views > 1 else ""
    yield f"Looked at {count} images. Take `{advice.opinion.name}`{views}."
    yield ""
    yield " ".join(advice.reasons)
    yield ""
    rows = [HEAD, *(_cells(one) for one in sorted(advice.opinions, key=lambda one: -one.gain))]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEAD))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
    yield ""
    yield "A gain is believed, not measured: crops that a strategy has not seen judged it, and they are no labels."
    yield "Judged with labels on the bundled model, advice like this did not pay for certain: what it gained over plain"
    yield "CLIP was within the errors (accuracy_advise.md in benchmarks/results). Check it with labels."


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


def _json(advice: Advice) -> dict[str, object]:
    return {
        "strategy": advice.opinion.name,
        "parameters": asdict(advice.chosen.strategy),  # type: ignore[call-overload]
        "reasons": list(advice.reasons),
        "opinions": [asdict(one) for one in advice.opinions],
    }
