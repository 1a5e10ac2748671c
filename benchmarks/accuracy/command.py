"""The command line of benchmarks/accuracy.py."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import torch

from tta_service.clip.load import load
from tta_service.core.errors import TTAError

from . import drift, fake, plots, shown, table, tune
from .cells import cells
from .check import check
from .contenders import ALL, Contender, listed
from .corruptions import MEASURED
from .features import Kitchen
from .layouts import LAYOUTS
from .server import Model, fingerprint_of, serving
from .sets import PLAIN, PictureSet
from .sources import HELP, source
from .study import Study

HERE = Path(__file__).resolve().parents[1]
ONE_VIEW = "zero_shot,tda,oga,dota,adapt,stata,dmn"


def main(words: list[str] | None = None, about: str = "") -> int:
    wish = parser(about).parse_args(words)
    wish.words = sys.argv[1:] if words is None else words
    torch.set_num_threads(wish.threads)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that our service ends with us
    try:
        with tempfile.TemporaryDirectory() as nowhere:
            if wish.dry_run:
                _make_dry(wish, Path(nowhere))
            return wish.mode(wish)
    except (ValueError, OSError, TTAError, RuntimeError, grpc.RpcError) as error:
        print(f"accuracy: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def measure_table(wish: argparse.Namespace) -> int:
    contenders = listed([_with_views(text, wish.views) for text in wish.strategies])
    with studying(wish) as study:
        wished = cells(list(study.kitchen.sets), wish.shifts, wish.severities, wish.reducers)
        worst = max(check(study, cell) for cell in wished[:1])
        about = _about(wish) | {"largest difference of a probability between pixels and replayed features": worst}
        made = None
        for made in table.measured(study, wished, contenders):
            shown.save(made, wish.out, wish.name, about)
        assert made is not None
        plots.save(plots.cost(made), wish.out / f"{wish.name}_cost.png")
        plots.save(plots.diagrams(made), wish.out / f"{wish.name}_reliability.png")
    print("\n".join(shown.summary(made.pooled(), made.rows)))
    return 0


def measure_drift(wish: argparse.Namespace) -> int:
    contenders = listed([_with_views(text, wish.views) for text in wish.strategies])
    shift, _, severity = wish.other.partition("/")
    with studying(wish) as study:
        tracks = []
        for name in study.kitchen.sets:
            tracks += drift.measured(study, name, contenders, (shift, int(severity or 3)))
            _save(
                wish, f"{wish.name}.json", json.dumps({"about": _about(wish), "rows": drift.as_dicts(tracks)}, indent=1)
            )
            lines = ["# Streams that drift", "", _about(wish)["command"], "", DRIFT, "", *drift.markdown(tracks)]
            _save(wish, f"{wish.name}.md", "\n".join([*lines, f"![accuracy over time]({wish.name}.png)"]))
        plots.save(drift.plot(tracks), wish.out / f"{wish.name}.png")
    print("\n".join(drift.markdown(tracks)))
    return 0


DRIFT = """\
Points of top-1 from the zero-shot answers of the same frames, ± one standard error by bootstrap over blocks (20
frames; in the correlated stream the runs of one class), bold beyond two. *last ¼*: over the last quarter of the stream.
*reset*: a fresh session where the world changes, or after every fourth run of the correlated stream. `gradual` runs
from day to night in six steps, `abrupt` and `recurring` change between clean pictures and the shift of the command."""


def choose_defaults(wish: argparse.Namespace) -> int:
    if (
        not all(name.startswith("tail") for name, _, _ in (text.partition(":") for text in wish.data))
        and not wish.dry_run
    ):
        raise ValueError("--data: defaults are chosen on the tune split only, tailN:FILES")
    with studying(wish) as study:
        choices, _ = tune.measured(study, wish.strategies)
    _save(wish, f"{wish.name}.json", json.dumps({"about": _about(wish), "rows": tune.as_dicts(choices)}, indent=1))
    _save(wish, f"{wish.name}.md", told := tune.markdown(choices, _about(wish)))
    print(told)
    return 0


@contextmanager
def studying(wish: argparse.Namespace) -> Iterator[Study]:
    """The sets, the model and a service that has the same one."""
    found = [source(text, wish.templates) for text in wish.data]
    sets: dict[str, PictureSet] = {one.name: one for one in found}
    if len(sets) < len(found):
        raise ValueError(f"--data: two sets of the name {[one.name for one in found]}")
    if wish.dry_run:  # two templates show as much as eighty
        sets = {name: one.templated(one.templates[:2]) for name, one in sets.items()}
    model = Model(wish.model, wish.pretrained, wish.checkpoint, wish.device, wish.precision)
    clip = load(model.name, model.pretrained, model.checkpoint, model.device, model.precision)
    most = max(map(len, sets.values()))
    fewer = {name: int(number) for name, _, number in (text.partition("=") for text in wish.orders_of)}
    with serving(model, wish.address) as address:
        theirs = fingerprint_of(address)
        if theirs != clip.fingerprint:
            raise ValueError(f"{address} serves another model ({theirs}) than {model} ({clip.fingerprint})")
        kitchen = Kitchen(clip, sets, wish.work / "features")
        count = min(wish.count or most, most)
        yield Study(kitchen, address, wish.work / "answers", count, wish.orders, fewer, wish.streams)


def parser(about: str) -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = whole.add_subparsers(required=True, metavar="MODE")
    one = modes.add_parser("table", help="every strategy on every set under every shift")
    one.set_defaults(mode=measure_table, name="accuracy")
    _common(one, list(ALL))
    one.add_argument("--shifts", type=_words, default=["none", *MEASURED], help="none stands for the clean pictures")
    one.add_argument("--severities", type=lambda text: [int(n) for n in text.split(",")], default=[1, 2, 3, 4, 5])
    one.add_argument("--reducers", type=_words, default=["none"], help="token reductions, each a cell of its own")
    one = modes.add_parser("drift", help="streams that change, with and without a reset")
    one.set_defaults(mode=measure_drift, name="accuracy_drift")
    _common(one, ONE_VIEW.split(","))
    one.add_argument("--other", default="fog/3", help="the shift that comes and goes, KIND/SEVERITY")
    one = modes.add_parser("tune", help="candidates for defaults, on the tune split")
    one.set_defaults(mode=choose_defaults, name="accuracy_tune")
    _common(one, [])
    return whole


def _common(one: argparse.ArgumentParser, strategies: list[str]) -> None:
    one.add_argument("--data", action="append", required=True, metavar="KIND:PATH", help=HELP)
    one.add_argument(
        "--templates", choices=("single", "papers"), default="single", help='"a photo of a {}.", or the set\'s'
    )
    one.add_argument(
        "--strategies", type=_split_strategies, default=strategies, help="a;b:x=1;c (or with commas alone)"
    )
    one.add_argument("--views", type=int, default=0, help="for all that take 64 by default and say nothing else")
    one.add_argument("--count", type=int, default=500, help="pictures a cell, 0: all")
    one.add_argument("--orders", type=int, default=5, help="seeded orders of the stream")
    one.add_argument("--orders-of", action="append", default=[], metavar="NAME=N", help="fewer, for one strategy")
    one.add_argument("--streams", type=int, default=6, help="played at a time")
    one.add_argument("--address", default="", help="of a running service; none: one of our own on loopback")
    for name in ("model", "pretrained", "checkpoint", "device", "precision"):
        default = {"model": "pocket", "device": "auto", "precision": "float32"}.get(name, "")
        one.add_argument(f"--{name}", default=default, help="as for `tta-service serve`")
    one.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the encoding")
    one.add_argument("--work", type=Path, default=Path("runs/accuracy"), help="features and answers are kept here")
    one.add_argument("--out", type=Path, default=HERE / "results")
    one.add_argument("--name", help="of the files in --out", default=argparse.SUPPRESS)
    one.add_argument(
        "--dry-run", action="store_true", help="on a tiny fake set in the layout of each --data, pocket model"
    )


def _make_dry(wish: argparse.Namespace, nowhere: Path) -> None:
    """The same command where neither the data nor the weights are. In place."""
    for text in wish.data:
        if (kind := text.partition(":")[0]) in LAYOUTS:
            fake.write(kind, nowhere)
        else:
            raise ValueError(f"--data {text}: a dry run makes up the papers' sets, not {kind}")
    wish.data = [f"{text.partition(':')[0]}:{nowhere}" for text in wish.data]
    wish.model, wish.pretrained, wish.checkpoint, wish.address = "pocket", "", "", ""
    wish.count, wish.orders, wish.work, wish.views = 3, min(2, wish.orders), nowhere / "work", wish.views or 8
    wish.out = nowhere / "results" if wish.out == HERE / "results" else wish.out


def _with_views(text: str, views: int) -> str:
    if not views or "views=" in text:
        return text
    one = Contender.of(text)
    return str(Contender(one.strategy, {**one.parameters, "views": views})) if one.needs.views == 64 else text


def _about(wish: argparse.Namespace) -> dict[str, Any]:
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


def _save(wish: argparse.Namespace, name: str, text: str) -> None:
    wish.out.mkdir(parents=True, exist_ok=True)
    (wish.out / name).write_text(text.rstrip("\n") + "\n")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _split_strategies(text: str) -> list[str]:
    """`a,b` or, where one has parameters, `a;b:x=1,y=2`."""
    return [word.strip() for word in text.split(";" if ";" in text or ":" in text else ",") if word.strip()]
