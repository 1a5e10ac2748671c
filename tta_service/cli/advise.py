"""The command `advise`: which template and which strategy suit a folder of images."""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import BadImage, BadLabels, BadParameters, BadRequest
from ..core.request import Encoded
from ..evaluate.folders import find_pictures
from ..strategies import catalogue as strategies
from .advice import advice_json, advice_lines, make_command
from .options import AsJson, Configure, Duplicates, Templates, build_label_set, configure_command, parse_names
from .text import json_line, printable

FEWEST = 16  # images; fewer allow no judgement


@configure_command
def advise(
    configure: Configure,
    images: Annotated[Path, typer.Option(help="A folder with images; folders in it named as classes label them.")],
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...|@FILE", help="Names of the classes; @FILE: one name a line; none: the folders' names."
        ),
    ] = None,
    deadline: Annotated[
        str | None, typer.Option(metavar="50ms", help="Time limit for one image; by default none.")
    ] = None,
    only: Annotated[str | None, typer.Option("--strategies", metavar="A,B,...", help="Try only these.")] = None,
    count: Annotated[int, typer.Option(min=FEWEST, help="Images to look at, at most.")] = 80,
    views: Annotated[
        int,
        typer.Option(min=0, max=512, help="0: at most 64, in a minute for all images."),
    ] = 0,
    template: Templates = None,
    allow_duplicates: Duplicates = False,
    as_json: AsJson = False,
) -> None:
    """Run templates and strategies on your own images, and recommend one of each with the reasons."""
    settings = configure({"batch.max_rows": 64})
    names = _names(labels, images)
    tried = [word.strip() for word in only.split(",") if word.strip()] if only else list(strategies.names())
    for name in tried:
        strategies.get(name)  # a misspelt one fails now
    seconds = None if deadline is None else _seconds(deadline)
    images_chosen, folders = _choose_images(images, count)
    from ..evaluate.advise import advise as find_advice  # imports torch for seconds, so mistakes come first
    from ..evaluate.sources import plain_name

    label_set = build_label_set(names, template, allow_duplicates)
    places = {plain_name(name): place for place, name in enumerate(names)}
    truth = [places.get(plain_name(folder)) for folder in folders]
    advice, best = find_advice(settings, label_set, images_chosen, tried, seconds, views, truth, _show_progress)
    classes = ["--labels", labels or ",".join(names), *(["--allow-duplicates"] if allow_duplicates else ())]
    command = make_command(advice, best, settings, classes, template or ())
    if as_json:
        print(json_line(advice_json(advice, best, command)))
    else:
        print("\n".join(advice_lines(advice, best, len(images_chosen), command)))


def _names(text: str | None, folder: Path) -> tuple[str, ...]:
    """Of `--labels`, or else of the folders. Raises `BadLabels`, `BadRequest`."""
    if text is not None:
        names = parse_names(text)
    elif folder.is_dir():
        names = tuple(sorted(one.name for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")))
    else:
        raise BadRequest(f"{printable(str(folder))} is not a folder", "images")
    if len(names) < 2:
        raise BadLabels("there is nothing to choose between with fewer than two labels", "labels")
    return names


def _choose_images(folder: Path, count: int) -> tuple[list[bytes], list[str]]:
    """A seeded choice of the images in a folder and its subfolders, and the names of the folders that they lie in.

    Names those that cannot be read on stderr.
    """
    if not folder.is_dir():
        raise BadRequest(f"{printable(str(folder))} is not a folder", "images")
    files = [path for path in find_pictures(folder) if not path.is_fifo()]  # reading a pipe may block
    chosen = random.Random(0).sample(files, min(count, len(files)))
    read = [(image, file.parent.name) for file in chosen if (image := _read(file)) is not None]
    images = [image for image, _ in read]
    if len(images) < FEWEST:
        count_found = f"{printable(str(folder))} holds {len(images)} images that can be read"
        raise BadImage(f"{count_found}; at least {FEWEST} are needed to judge anything", "images")
    return images, [name for _, name in read]


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
