"""From arguments to a study: sets, model, engine, folders; and what the results say about them."""

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
from tta_service.evaluate.features import FeatureExtractor
from tta_service.evaluate.layouts import LAYOUTS
from tta_service.evaluate.pictures import PLAIN, PictureSet
from tta_service.evaluate.replay import WIDE
from tta_service.evaluate.sources import read_source
from tta_service.evaluate.stand_ins import write_stand_in
from tta_service.evaluate.study import open_player
from tta_service.settings import make

from ..machine import processor
from .arguments import RESULTS
from .sweep import Sweep


@contextmanager
def open_study(args: argparse.Namespace) -> Iterator[Sweep]:
    """The sets, the model and an engine that has it."""
    extractor = make_extractor(args)
    clip, most = extractor.clip, max(map(len, extractor.sets.values()))
    fewer = {name: int(number) for name, _, number in (text.partition("=") for text in args.orders_of)}
    settings = make({**WIDE, "batch.max_rows": 64, "lanes.cores": args.threads})
    with open_player(settings, args.streams, clip) as player:
        count = min(args.count or most, most)
        some = min(args.count_views or count, count)
        yield Sweep(extractor, player, args.work / "answers", count, some, args.orders, fewer)


def make_extractor(args: argparse.Namespace) -> FeatureExtractor:
    """The sets, and the model that sees them."""
    found = [read_source(text, args.templates) for text in args.data]
    sets: dict[str, PictureSet] = {one.name: one for one in found}
    if len(sets) < len(found):
        raise ValueError(f"--data: two sets of the name {[one.name for one in found]}")
    if args.dry_run:  # two templates show as much as eighty
        sets = {name: one.with_templates(one.templates[:2]) for name, one in sets.items()}
    clip = load(args.model, args.pretrained, args.checkpoint, args.device, args.precision)
    return FeatureExtractor(clip, sets, args.work / "features")


def make_dry(args: argparse.Namespace, nowhere: Path) -> None:
    """The same command where neither the data nor the weights are. In place."""
    for text in args.data:
        if (kind := text.partition(":")[0]) in LAYOUTS:
            write_stand_in(kind, nowhere)
        else:
            raise ValueError(f"--data {text}: a dry run makes up the papers' sets, not {kind}")
    args.data = [f"{text.partition(':')[0]}:{nowhere}" for text in args.data]
    args.model, args.pretrained, args.checkpoint = "pocket", "", ""
    args.count, args.orders, args.work, args.views = 3, min(2, args.orders), nowhere / "work", args.views or 8
    args.out = nowhere / "results" if args.out == RESULTS else args.out


def about_of(args: argparse.Namespace) -> dict[str, Any]:
    shorter = [text if ":" not in text else _without_folders(text) for text in args.words]
    return {
        "command": "    python benchmarks/accuracy.py "
        + " ".join(map(shlex.quote, _without(shorter, "--work", "--out"))),
        "model": Path(args.checkpoint).name or (f"{args.model}/{args.pretrained}" if args.pretrained else args.model),
        "templates": " ".join(PLAIN) if args.templates == "single" else "the papers'",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


def _without_folders(text: str) -> str:
    kind, _, path = text.partition(":")
    return f"{kind}:DATA/" + "/".join(Path(path).parts[-2:]) if path.startswith("/") else text


def _without(words: list[str], *flags: str) -> list[str]:
    return [word for before, word in zip(["", *words], words) if word not in flags and before not in flags]


def save(args: argparse.Namespace, name: str, text: str) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / name).write_text(text.rstrip("\n") + "\n")
