"""The command line of benchmarks/accuracy.py."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import threading
from pathlib import Path

import grpc
import torch

from tta_service.app.advise.judge import Rule
from tta_service.core.errors import TTAError

from . import control, drift, judge, judge_shown, plots, shown, table, tune
from .arguments import parser, with_views
from .cells import cells
from .check import check
from .contenders import Contender, listed
from .studying import about_of, make_dry, make_extractor, save, studying
from .why import mode as why
from .why.ground import Ground


def main(words: list[str] | None = None, about: str = "") -> int:
    wish = parser(about, RUNS).parse_args(words)
    wish.words = sys.argv[1:] if words is None else words
    torch.set_num_threads(wish.threads)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that our service ends with us
    try:
        with tempfile.TemporaryDirectory() as nowhere:
            if wish.dry_run:
                make_dry(wish, Path(nowhere))
            return wish.mode(wish)
    except (ValueError, OSError, TTAError, RuntimeError, grpc.RpcError) as error:
        print(f"accuracy: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def measure_table(wish: argparse.Namespace) -> int:
    contenders = listed([with_views(text, wish.views) for text in wish.strategies])
    with studying(wish) as study:
        wished = cells(list(study.extractor.sets), wish.shifts, wish.severities, wish.reducers)
        worst = max(check(study, cell) for cell in wished[:1])
        about = about_of(wish) | {"largest difference of a probability between pixels and replayed features": worst}
        made = None
        for made in table.measured(study, wished, contenders):
            shown.save(made, wish.out, wish.name, about)
        assert made is not None
        plots.save(plots.cost(made), wish.out / f"{wish.name}_cost.png")
        plots.save(plots.diagrams(made), wish.out / f"{wish.name}_reliability.png")
    print("\n".join(shown.summary(made.pooled(), made.rows)))
    return 0


def measure_drift(wish: argparse.Namespace) -> int:
    contenders = listed([with_views(text, wish.views) for text in wish.strategies])
    shift, _, severity = wish.other.partition("/")
    with studying(wish) as study:
        tracks = []
        for name in study.extractor.sets:
            tracks += drift.measured(study, name, contenders, (shift, int(severity or 3)))
            told = {"about": about_of(wish), "rows": drift.as_dicts(tracks)}
            save(wish, f"{wish.name}.json", json.dumps(told, indent=1))
            lines = ["# Streams that drift", "", about_of(wish)["command"], "", DRIFT, "", *drift.markdown(tracks)]
            save(wish, f"{wish.name}.md", "\n".join([*lines, f"![accuracy over time]({wish.name}.png)"]))
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
        choices, _ = tune.measured(study, wish.strategies, views=wish.views)
    save(wish, f"{wish.name}.json", json.dumps({"about": about_of(wish), "rows": tune.as_dicts(choices)}, indent=1))
    save(wish, f"{wish.name}.md", told := tune.markdown(choices, about_of(wish)))
    print(told)
    return 0


def control_worlds(wish: argparse.Namespace) -> int:
    contenders = listed([with_views(text, wish.views) for text in wish.strategies])
    rows = []
    with studying(wish) as study:
        for name in study.extractor.sets:
            rows += control.measured(study, name, contenders)
            told = {"about": about_of(wish), "rows": [one.as_dict() for one in rows]}
            save(wish, f"{wish.name}.json", json.dumps(told, indent=1))
            lines = ["# Is it the code?", "", about_of(wish)["command"], "", control.__doc__ or "", ""]
            save(wish, f"{wish.name}.md", "\n".join([*lines, *control.markdown(rows)]))
    print("\n".join(control.markdown(rows)))
    return 0


def explain(wish: argparse.Namespace) -> int:
    extractor = make_extractor(wish)
    counts = wish.count, wish.long, wish.count_views, wish.count_tuned, wish.views
    ground, about = Ground(extractor, wish.work / "why", *counts, tuple(wish.shifts)), about_of(wish)
    about["scale"] = round(float(extractor.clip.scale), 3)
    hand = wish.out / f"{wish.name}.hand.md"
    for found in why.measured(ground, wish.only):
        told = {"about": about, "findings": [one.as_dict() for one in found]}
        save(wish, f"{wish.name}.json", json.dumps(told, indent=1))
        save(wish, f"{wish.name}.md", why.markdown(found, about, hand.read_text() if hand.exists() else ""))
    return 0


def judge_advice(wish: argparse.Namespace) -> int:
    views = wish.views or 32
    contenders = tuple(Contender.of(with_views(text, views // 2)) for text in ["zero_shot", *wish.strategies])
    contenders = tuple({one.strategy: one for one in contenders}.values())
    found = []
    with studying(wish) as study:
        wished = cells(list(study.extractor.sets), wish.shifts, wish.severities, ["none"])
        for some in judge.measured(study, wished, contenders, views, Rule()):
            found += some
            told = {"about": about_of(wish), **judge_shown.as_dicts(found)}
            save(wish, f"{wish.name}.json", json.dumps(told, indent=1))
            lines = ["# Does the advice pay?", "", about_of(wish)["command"], "", judge.__doc__ or "", ""]
            save(wish, f"{wish.name}.md", "\n".join([*lines, *judge_shown.markdown(found)]))
    print("\n".join(judge_shown.markdown(found)))
    return 0


RUNS = {
    "table": measure_table,
    "drift": measure_drift,
    "control": control_worlds,
    "judge": judge_advice,
    "why": explain,
    "tune": choose_defaults,
}
