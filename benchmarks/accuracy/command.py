"""The command line of benchmarks/accuracy.py."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import torch

from tta_service.core.errors import TTAError
from tta_service.evaluate.advise.judge import Rule
from tta_service.evaluate.cells import cells
from tta_service.evaluate.contenders import Contender, parse_contenders

from . import (
    asking,
    attack,
    confidence,
    control,
    drift,
    guard,
    judge,
    judge_shown,
    plots,
    shown,
    signs,
    site_sums,
    table,
    teach,
    templates,
    tune,
)
from .arguments import parser, with_views
from .check import check
from .setup import about_of, make_dry, make_extractor, open_study, save
from .why import mode as why
from .why.ground import Ground


def main(words: list[str] | None = None, about: str = "") -> int:
    args = parser(about, RUNS).parse_args(words)
    args.words = sys.argv[1:] if words is None else words
    torch.set_num_threads(args.threads)
    try:
        with tempfile.TemporaryDirectory() as nowhere:
            if args.dry_run:
                make_dry(args, Path(nowhere))
            return args.mode(args)
    except (ValueError, OSError, TTAError, RuntimeError) as error:
        print(f"accuracy: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def measure_table(args: argparse.Namespace) -> int:
    contenders = parse_contenders([with_views(text, args.views) for text in args.strategies])
    with open_study(args) as study:
        wished = cells(list(study.extractor.sets), args.shifts, args.severities, args.reducers)
        worst = max(check(study, cell) for cell in wished[:1])
        about = about_of(args) | {"largest difference of a probability between pixels and replayed features": worst}
        made = None
        for made in table.measure(study, wished, contenders):
            shown.save(made, args.out, args.name, about)
        assert made is not None
        plots.save(plots.cost(made), args.out / f"{args.name}_cost.png")
        plots.save(plots.diagrams(made), args.out / f"{args.name}_reliability.png")
    print("\n".join(shown.summary(made.pooled(), made.rows)))
    return 0


def measure_drift(args: argparse.Namespace) -> int:
    contenders = parse_contenders([with_views(text, args.views) for text in args.strategies])
    shift, _, severity = args.other.partition("/")
    with open_study(args) as study:
        tracks = []
        for name in study.extractor.sets:
            tracks += drift.measure(study, name, contenders, (shift, int(severity or 3)))
            report = {"about": about_of(args), "rows": drift.as_dicts(tracks)}
            save(args, f"{args.name}.json", json.dumps(report, indent=1))
            lines = ["# Streams that drift", "", about_of(args)["command"], "", DRIFT, "", *drift.markdown(tracks)]
            save(args, f"{args.name}.md", "\n".join([*lines, f"![accuracy over time]({args.name}.png)"]))
        plots.save(drift.plot(tracks), args.out / f"{args.name}.png")
    print("\n".join(drift.markdown(tracks)))
    return 0


DRIFT = """\
Points of top-1 from the zero-shot answers of the same frames, ± one standard error by bootstrap over blocks (20
frames; in the correlated stream the runs of one class), bold beyond two. *last ¼*: over the last quarter of the stream.
*reset*: a fresh session where the world changes, or after every fourth run of the correlated stream. `gradual` runs
from day to night in six steps, `abrupt` and `recurring` change between clean pictures and the shift of the command."""


def choose_defaults(args: argparse.Namespace) -> int:
    if (
        not all(name.startswith("tail") for name, _, _ in (text.partition(":") for text in args.data))
        and not args.dry_run
    ):
        raise ValueError("--data: defaults are chosen on the tune split only, tailN:FILES")
    with open_study(args) as study:
        choices, _ = tune.measure(study, args.strategies, views=args.views)
    save(args, f"{args.name}.json", json.dumps({"about": about_of(args), "rows": tune.as_dicts(choices)}, indent=1))
    save(args, f"{args.name}.md", report := tune.markdown(choices, about_of(args)))
    print(report)
    return 0


def control_worlds(args: argparse.Namespace) -> int:
    contenders = parse_contenders([with_views(text, args.views) for text in args.strategies])
    rows = []
    with open_study(args) as study:
        for name in study.extractor.sets:
            rows += control.measure(study, name, contenders)
            report = {"about": about_of(args), "rows": [one.as_dict() for one in rows]}
            save(args, f"{args.name}.json", json.dumps(report, indent=1))
            lines = ["# Is it the code?", "", about_of(args)["command"], "", control.__doc__ or "", ""]
            save(args, f"{args.name}.md", "\n".join([*lines, *control.markdown(rows)]))
    print("\n".join(control.markdown(rows)))
    return 0


def teach_worlds(args: argparse.Namespace) -> int:
    extractor, rows, path = make_extractor(args), [], args.out / f"{args.name}.json"
    views, kept = teach.views_for(args.strategies), args.work / "lessons"
    for cell in cells(list(extractor.sets), args.shifts, args.severities, ["none"]):
        world = teach.open_world(extractor, cell, args.classes, args.each, views)
        rows += teach.measure(world, args.strategies, args.lessons, args.orders, args.wrong, kept)
        about = about_of(args)
        known, commands = teach.join(rows, about["command"].strip(), path)
        save(args, path.name, json.dumps({"about": {**about, "command": commands}, "rows": teach.as_dicts(known)}))
        shown = [f"    {command}" for command in commands]
        lines = ["# What are lessons worth?", "", *shown, "", teach.__doc__ or "", *teach.markdown(known)]
        save(args, f"{args.name}.md", "\n".join(lines))
        plots.save(plots.lessons(known), args.out / f"{args.name}.png")
    print("\n".join(teach.markdown(rows)))
    return 0


def guard_streams(args: argparse.Namespace) -> int:
    extractor, rows = make_extractor(args), list[guard.GuardRow]()
    contenders = tuple(map(Contender.of, args.strategies))
    for name in extractor.sets:
        shifted = cells([name], args.shifts, args.severities, ["none"])
        for row in guard.measure(extractor, name, contenders, shifted, args.count):
            rows.append(row)
            save(
                args, f"{args.name}.json", json.dumps({"about": about_of(args), "rows": guard.as_dicts(rows)}, indent=1)
            )
            lines = [
                "# Does the guard keep memories from harm?",
                "",
                about_of(args)["command"],
                "",
                guard.__doc__ or "",
            ]
            save(args, f"{args.name}.md", "\n".join([*lines, "", *guard.markdown(rows)]))
    print("\n".join(guard.markdown(rows)))
    return 0


def measure_confidence(args: argparse.Namespace) -> int:
    extractor, about = make_extractor(args), about_of(args)
    rows, sets = list[confidence.CalibrationRow](), list[confidence.CoverageRow]()

    def report() -> list[str]:
        both = {"calibration": confidence.as_dicts(rows), "coverage": confidence.as_dicts(sets)}
        save(args, f"{args.name}.json", json.dumps({"about": about, **both}, indent=1))
        lines = ["# Can one act on the confidence?", "", about["command"], "", confidence.__doc__ or "", ""]
        save(args, f"{args.name}.md", "\n".join([*lines, *confidence.markdown(rows, sets)]))
        return confidence.markdown(rows, sets)

    for name in extractor.sets:
        shown = cells([name], args.shifts, args.severities, ["none"])
        worlds = [teach.open_world(extractor, cell, args.classes, args.each) for cell in shown]
        for world in worlds:
            rows += confidence.measure_calibration(world, args.strategies, args.lessons, args.orders)
            sets += confidence.measure_coverage(world, args.covering, args.uniform, args.draws)
            report()
        if args.drift:
            sets += confidence.measure_drift(*worlds[:2], args.covering, args.drift, args.draws)
    print("\n".join(report()))
    return 0


def measure_asking(args: argparse.Namespace) -> int:
    extractor, rows = make_extractor(args), list[asking.AskRow]()
    for cell in cells(list(extractor.sets), args.shifts, args.severities, ["none"]):
        world = teach.open_world(extractor, cell, args.classes, args.each)
        rows += asking.measure(world, args.rules, args.answers, args.frames, args.orders)
        report = {"about": about_of(args), "rows": asking.as_dicts(rows)}
        save(args, f"{args.name}.json", json.dumps(report, indent=1))
        lines = [
            "# Is it worth to choose whom to ask about?",
            "",
            about_of(args)["command"],
            "",
            asking.__doc__ or "",
            "",
        ]
        save(args, f"{args.name}.md", "\n".join([*lines, *asking.markdown(rows)]))
    print("\n".join(asking.markdown(rows)))
    return 0


def explain(args: argparse.Namespace) -> int:
    extractor = make_extractor(args)
    counts = args.count, args.long, args.count_views, args.count_tuned, args.views
    ground, about = Ground(extractor, args.work / "why", *counts, tuple(args.shifts)), about_of(args)
    about["scale"] = round(float(extractor.clip.scale), 3)
    hand = args.out / f"{args.name}.hand.md"
    for found in why.measure(ground, args.only):
        report = {"about": about, "findings": [one.as_dict() for one in found]}
        save(args, f"{args.name}.json", json.dumps(report, indent=1))
        save(args, f"{args.name}.md", why.markdown(found, about, hand.read_text() if hand.exists() else ""))
    return 0


def judge_advice(args: argparse.Namespace) -> int:
    views = args.views or 32
    contenders = tuple(Contender.of(with_views(text, views // 2)) for text in ["zero_shot", *args.strategies])
    contenders = tuple({one.strategy: one for one in contenders}.values())
    found = []
    with open_study(args) as study:
        wished = cells(list(study.extractor.sets), args.shifts, args.severities, ["none"])
        for some in judge.measure(study, wished, contenders, views, Rule()):
            found += some
            report = {"about": about_of(args), **judge_shown.as_dicts(found)}
            save(args, f"{args.name}.json", json.dumps(report, indent=1))
            lines = ["# Does the advice pay?", "", about_of(args)["command"], "", judge.__doc__ or "", ""]
            save(args, f"{args.name}.md", "\n".join([*lines, *judge_shown.markdown(found)]))
    print("\n".join(judge_shown.markdown(found)))
    return 0


RUNS = {
    "table": measure_table,
    "drift": measure_drift,
    "control": control_worlds,
    "judge": judge_advice,
    "why": explain,
    "tune": choose_defaults,
    "teach": teach_worlds,
    "guard": guard_streams,
    "confidence": measure_confidence,
    "asking": measure_asking,
    "signs": signs.run,
    "attack": attack.run,
    "sums": site_sums.run,
    "templates": templates.run,
}
