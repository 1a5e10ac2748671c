"""The options of the command line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from tta_service.evaluate.contenders import ALL, TAUGHT, Contender, split_strategies
from tta_service.evaluate.corruptions import MEASURED
from tta_service.evaluate.sources import HELP

RESULTS = Path(__file__).resolve().parents[1] / "results"
ONE_VIEW = "zero_shot,tda,oga,dota,adapt,stata,dmn"
Mode = Callable[[argparse.Namespace], int]


def parser(about: str, runs: dict[str, Mode]) -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = whole.add_subparsers(required=True, metavar="MODE")
    one = modes.add_parser("table", help="every strategy on every set under every shift")
    one.set_defaults(mode=runs["table"], name="accuracy")
    _add_replay(one, list(ALL))
    _add_shifts(one)
    one.add_argument("--reducers", type=_words, default=["none"], help="token reductions, each a cell of its own")
    one = modes.add_parser("drift", help="streams that change, with and without a reset")
    one.set_defaults(mode=runs["drift"], name="accuracy_drift")
    _add_replay(one, ONE_VIEW.split(","))
    one.add_argument("--other", default="fog/3", help="the shift that comes and goes, KIND/SEVERITY")
    one = modes.add_parser("control", help="worlds of numbers in which adapting must help")
    one.set_defaults(mode=runs["control"], name="accuracy_control")
    _add_replay(one, list(ALL))
    one = modes.add_parser("why", help="experiments that explain the rows of the table")
    one.set_defaults(mode=runs["why"], name="accuracy_why", dry_run=False)
    _add_why(one)
    one = modes.add_parser("judge", help="the advice of `tta-service advise`, on pictures that it has not seen")
    one.set_defaults(mode=runs["judge"], name="accuracy_advise")
    _add_replay(one, [text for text in ALL if ":" not in text])
    _add_shifts(one)
    one = modes.add_parser("tune", help="candidates for defaults, on the tune split")
    one.set_defaults(mode=runs["tune"], name="accuracy_tune")
    _add_replay(one, [])
    one = modes.add_parser("teach", help="a person's lessons, from none to eight of each class")
    one.set_defaults(mode=runs["teach"], name="accuracy_teach", dry_run=False)
    _add_data_and_model(one)
    one.add_argument("--strategies", type=_words, default=["zero_shot", "class_means", *TAUGHT])
    one.add_argument("--shifts", type=_words, default=["none", *MEASURED], help="none stands for the clean pictures")
    one.add_argument("--severities", type=_integers, default=[3])
    one.add_argument("--lessons", type=_integers, default=[0, 1, 2, 4, 8], help="of each class")
    one.add_argument("--wrong", type=float, default=0.0, help="share of the lessons that name another class")
    one.add_argument("--classes", type=int, default=20, help="of a set, 0: all")
    one.add_argument("--each", type=int, default=50, help="pictures of each class")
    one.add_argument("--orders", type=int, default=5, help="seeded draws of lessons and order")
    one = modes.add_parser("sums", help="what another site's sums are worth beside its lessons")
    one.set_defaults(mode=runs["sums"], name="accuracy_sums", dry_run=False)
    _add_data_and_model(one)
    one.add_argument("--strategies", type=_words, default=["taught", "gda"])
    one.add_argument("--shifts", type=_words, default=["none"], help="none stands for the clean pictures")
    one.add_argument("--severities", type=_integers, default=[3])
    one.add_argument("--lessons", type=_integers, default=[4, 16, 40, 200], help="of each class, at the other site")
    one.add_argument("--epsilons", type=_floats, default=[8.0, 1.0], help="of the noise")
    one.add_argument("--delta", type=float, default=1e-5)
    one.add_argument("--classes", type=int, default=20, help="of a set, 0: all")
    one.add_argument("--each", type=int, default=260, help="pictures of each class")
    one.add_argument("--orders", type=int, default=3, help="seeded draws of lessons and order")
    one = modes.add_parser("confidence", help="calibration with lessons, and the coverage of prediction sets")
    one.set_defaults(mode=runs["confidence"], name="accuracy_confidence", dry_run=False)
    _add_data_and_model(one)
    one.add_argument("--strategies", type=_words, default=["zero_shot", *TAUGHT, "tda"])
    one.add_argument(
        "--shifts", type=_words, default=["none", "fog", "noise"], help="none stands for the clean pictures"
    )
    one.add_argument("--severities", type=_integers, default=[3])
    one.add_argument("--lessons", type=_integers, default=[4, 8], help="of each class; none: no calibration")
    one.add_argument("--classes", type=int, default=24, help="of a set, 0: all")
    one.add_argument("--each", type=int, default=120, help="pictures of each class")
    one.add_argument("--orders", type=int, default=5, help="seeded draws of lessons and order")
    one.add_argument(
        "--covering", type=_words, default=["taught"], help="strategies whose prediction sets are measured"
    )
    one.add_argument("--uniform", type=_integers, default=[40, 100, 200], help="lessons that are drawn uniformly")
    one.add_argument("--draws", type=int, default=30, help="of these lessons")
    one.add_argument("--drift", type=int, default=0, help="lessons while the first cell changes to the second; 0: none")
    one = modes.add_parser("asking", help="which frames people are asked about: the service's choice beside chance")
    one.set_defaults(mode=runs["asking"], name="accuracy_asking", dry_run=False)
    _add_data_and_model(one)
    one.add_argument("--rules", type=_words, default=["random", "asking", "margin", "coverage"], help="random first")
    one.add_argument("--shifts", type=_words, default=["none"], help="none stands for the clean pictures")
    one.add_argument("--severities", type=_integers, default=[3])
    one.add_argument("--answers", type=_integers, default=[10, 20, 40], help="after which it is measured")
    one.add_argument("--classes", type=int, default=24, help="of a set, 0: all")
    one.add_argument("--each", type=int, default=60, help="pictures of each class")
    one.add_argument("--frames", type=int, default=400, help="of the stream, at most half of the pictures")
    one.add_argument("--orders", type=int, default=5, help="seeded streams")
    one = modes.add_parser("attack", help="pictures that were changed to be answered wrongly")
    one.set_defaults(mode=runs["attack"], name="accuracy_attack", dry_run=False)
    _add_data_and_model(one)
    contenders = ["zero_shot", "zero", "mta", "tpt", "rtpt", "taught"]
    one.add_argument("--strategies", type=split_strategies, default=contenders)
    one.add_argument("--radii", type=_integers, default=[1, 4], help="of PGD, in 1/255")
    one.add_argument("--count", type=int, default=100, help="attacked pictures")
    one.add_argument("--each", type=int, default=4, help="lessons of each class")
    one = modes.add_parser("templates", help="the template that `tta-service advise` finds, beside the default")
    one.set_defaults(mode=runs["templates"], name="accuracy_templates", dry_run=False)
    _add_data_and_model(one)
    one.add_argument("--shifts", type=_words, default=["none", "fog"], help="none stands for the clean pictures")
    one.add_argument("--severities", type=_integers, default=[3])
    one.add_argument("--looked", type=int, default=80, help="pictures that it looks at")
    one.add_argument("--classes", type=int, default=24, help="of a set, 0: all")
    one.add_argument("--each", type=int, default=120, help="pictures of each class")
    one.add_argument("--orders", type=int, default=5, help="seeded choices of these pictures")
    one = modes.add_parser("guard", help="long streams through memories: bare, guarded, and with a reset")
    one.set_defaults(mode=runs["guard"], name="accuracy_guard", dry_run=False)
    _add_data_and_model(one)
    one.add_argument("--strategies", type=split_strategies, default=ONE_VIEW.split(",")[1:])
    one.add_argument("--shifts", type=_words, default=["fog", "noise"], help="the first comes and goes in a stream")
    one.add_argument("--severities", type=_integers, default=[3])
    one.add_argument("--count", type=int, default=2500, help="frames of a stream")
    one = modes.add_parser("signs", help="what tells a collapsed or foreign world, and when the service warns")
    one.set_defaults(mode=runs["signs"], name="accuracy_signs", dry_run=False)
    _add_data_and_model(one)
    one.add_argument(
        "--shifts", type=_words, default=["none", "fog", "noise"], help="none stands for the clean pictures"
    )
    one.add_argument("--severities", type=_integers, default=[3])
    one.add_argument("--names", type=_integers, default=[2, 10, 50, 0], help="in a label set, 0: all")
    one.add_argument("--count", type=int, default=2500, help="pictures of a world")
    return whole


def _add_shifts(one: argparse.ArgumentParser) -> None:
    one.add_argument("--shifts", type=_words, default=["none", *MEASURED], help="none stands for the clean pictures")
    one.add_argument("--severities", type=_integers, default=[1, 2, 3, 4, 5])


def _add_data_and_model(one: argparse.ArgumentParser) -> None:
    """Options for pictures, the model, and the folders of features, answers and results."""
    one.add_argument("--data", action="append", required=True, metavar="KIND:PATH", help=HELP)
    one.add_argument(
        "--templates", choices=("single", "papers"), default="single", help='"a photo of a {}.", or the set\'s'
    )
    for name in ("model", "pretrained", "checkpoint", "device", "precision"):
        default = {"model": "pocket", "device": "auto", "precision": "float32"}.get(name, "")
        one.add_argument(f"--{name}", default=default, help="as for `tta-service serve`")
    one.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the encoding")
    one.add_argument("--work", type=Path, default=Path("runs/accuracy"), help="features and answers are kept here")
    one.add_argument("--out", type=Path, default=RESULTS)
    one.add_argument("--name", help="of the files in --out", default=argparse.SUPPRESS)


def _add_why(one: argparse.ArgumentParser) -> None:
    _add_data_and_model(one)
    one.add_argument("--only", type=_words, default=[], help="experiments, by name; none: all")
    one.add_argument("--shifts", type=_words, default=["noise", "blur", "frost"], help="beside the clean pictures")
    one.add_argument("--count", type=int, default=500, help="frames of a stream")
    one.add_argument("--long", type=int, default=2000, help="frames of a long stream, 0: all pictures")
    one.add_argument("--count-views", type=int, default=100, help="pictures that are seen through several views")
    one.add_argument("--count-tuned", type=int, default=24, help="pictures that a prompt is tuned for")
    one.add_argument("--views", type=int, default=64)


def _add_replay(one: argparse.ArgumentParser, strategies: Sequence[str]) -> None:
    _add_data_and_model(one)
    one.add_argument(
        "--strategies", type=split_strategies, default=list(strategies), help="a;b:x=1;c (or with commas alone)"
    )
    one.add_argument("--views", type=int, default=0, help="for all that take 64 by default and say nothing else")
    one.add_argument("--count", type=int, default=500, help="pictures a cell, 0: all")
    one.add_argument(
        "--count-views", type=int, default=0, help="fewer for those that look at several views; 0: as many"
    )
    one.add_argument("--orders", type=int, default=5, help="seeded orders of the stream")
    one.add_argument("--orders-of", action="append", default=[], metavar="NAME=N", help="fewer, for one strategy")
    one.add_argument("--streams", type=int, default=6, help="played at a time")
    one.add_argument(
        "--dry-run", action="store_true", help="on a tiny fake set in the layout of each --data, pocket model"
    )


def with_views(text: str, views: int) -> str:
    if not views or "views=" in text:
        return text
    one = Contender.of(text)
    return str(Contender(one.strategy, {**one.parameters, "views": views})) if one.needs.views == 64 else text


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _integers(text: str) -> list[int]:
    return [int(word) for word in _words(text)]


def _floats(text: str) -> list[float]:
    return [float(word) for word in _words(text)]
