"""From wishes to a study: sets, model, service, folders; and what is told about them in the results."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tta_service.clip.load import load

from . import fake
from .arguments import RESULTS
from .features import FeatureExtractor
from .layouts import LAYOUTS
from .server import Model, fingerprint_of, serving
from .sets import PLAIN, PictureSet
from .sources import source
from .study import Study


@contextmanager
def studying(wish: argparse.Namespace) -> Iterator[Study]:
    """The sets, the model and a service that has the same one."""
    extractor = make_extractor(wish)
    clip, most = extractor.clip, max(map(len, extractor.sets.values()))
    fewer = {name: int(number) for name, _, number in (text.partition("=") for text in wish.orders_of)}
    model = _model(wish)
    with serving(model, wish.address, wish.threads) as address:
        theirs = fingerprint_of(address)
        if theirs != clip.fingerprint:
            raise ValueError(f"{address} serves another model ({theirs}) than {model} ({clip.fingerprint})")
        count = min(wish.count or most, most)
        some = min(wish.count_views or count, count)
        yield Study(extractor, address, wish.work / "answers", count, some, wish.orders, fewer, wish.streams)


def make_extractor(wish: argparse.Namespace) -> FeatureExtractor:
    """The sets, and the model that sees them."""
    found = [source(text, wish.templates) for text in wish.data]
    sets: dict[str, PictureSet] = {one.name: one for one in found}
    if len(sets) < len(found):
        raise ValueError(f"--data: two sets of the name {[one.name for one in found]}")
    if wish.dry_run:  # two templates show as much as eighty
        sets = {name: one.templated(one.templates[:2]) for name, one in sets.items()}
    model = _model(wish)
    clip = load(model.name, model.pretrained, model.checkpoint, model.device, model.precision)
    return FeatureExtractor(clip, sets, wish.work / "features")


def _model(wish: argparse.Namespace) -> Model:
    return Model(wish.model, wish.pretrained, wish.checkpoint, wish.device, wish.precision)


def make_dry(wish: argparse.Namespace, nowhere: Path) -> None:
    """The same command where neither the data nor the weights are. In place."""
    for text in wish.data:
        if (kind := text.partition(":")[0]) in LAYOUTS:
            fake.write(kind, nowhere)
        else:
            raise ValueError(f"--data {text}: a dry run makes up the papers' sets, not {kind}")
    wish.data = [f"{text.partition(':')[0]}:{nowhere}" for text in wish.data]
    wish.model, wish.pretrained, wish.checkpoint, wish.address = "pocket", "", "", ""
    wish.count, wish.orders, wish.work, wish.views = 3, min(2, wish.orders), nowhere / "work", wish.views or 8
    wish.out = nowhere / "results" if wish.out == RESULTS else wish.out


def about_of(wish: argparse.Namespace) -> dict[str, Any]:
    shorter = [text if ":" not in text else _without_folders(text) for text in wish.words]
    return {
        "command": "    python benchmarks/accuracy.py "
        + " ".join(map(shlex.quote, _without(shorter, "--work", "--out"))),
        "model": str(Model(wish.model, wish.pretrained, Path(wish.checkpoint).name)),
        "templates": " ".join(PLAIN) if wish.templates == "single" else "the papers'",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


def _without_folders(text: str) -> str:
    kind, _, path = text.partition(":")
    return f"{kind}:DATA/" + "/".join(Path(path).parts[-2:]) if path.startswith("/") else text


def _without(words: list[str], *flags: str) -> list[str]:
    return [word for before, word in zip(["", *words], words) if word not in flags and before not in flags]


def save(wish: argparse.Namespace, name: str, text: str) -> None:
    wish.out.mkdir(parents=True, exist_ok=True)
    (wish.out / name).write_text(text.rstrip("\n") + "\n")
