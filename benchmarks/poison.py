"""How many answers do poisoned frames move? Who may send frames into a session teaches its memory.

A stream of pictures is answered by strategies with a memory through the service's own engine, once as it is, and then
with so many of 100 frames that an attacker sends. These are real pictures, chosen by an attacker who has the weights:
*wrong*, those that plain CLIP answers wrongly and is surest of; *one*, the first of these again and again;
*foreign*, pictures of another set. Moved are answers to the other frames that have a different label than in the stream
without poison; top-1 is that of these frames. *admit* is `admit_below: 0.05`, *guard* the guard that is on by default.
`taught` has had four lessons of each class, after which there is no guard. Frames are plain views.

    python benchmarks/poison.py --data DATA/cifar10/test.npz --foreign DATA/tiny_imagenet/val.npz [--shares 5,20]

The sets are those of `pocket/data.py`, any other labelled ones packed alike do as well. Writes
benchmarks/results/poison.json and .md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import load_average, processor
from numpy.typing import NDArray
from torch import Tensor

from tta_service.app import Runtime, build_runtime
from tta_service.core.catalogue import reducers, strategies
from tta_service.core.labels import LabelSet
from tta_service.core.reducer import Reduction
from tta_service.core.request import Features, Request
from tta_service.core.trust import TrustOptions
from tta_service.evaluate.npz import read_npz
from tta_service.evaluate.pictures import PictureSet
from tta_service.evaluate.replay import WIDE, answer_stream
from tta_service.images.views import look
from tta_service.settings import load

OUT = Path(__file__).resolve().parent / "results" / "poison.json"
STRATEGIES = "tda,dmn,oga,adapt,dota,taught"
MODES = {"bare": (False, 0.0), "guard": (True, 0.0), "admit": (False, 0.05), "guard and admit": (True, 0.05)}
LESSONS = 4  # of each class
HEAD = """# Poisoned frames

`python benchmarks/poison.py`, {frames} frames of {data}, on {cpu}, load average {load_average}. Plain CLIP is right on
{plain:.1f} % of them. Moved: answers to these frames, in percent, that a poisoned stream changes; in parentheses how
many points of top-1 it costs.

{what}

| strategy | poison | frames of 100 | bare | guard | admit | guard and admit |
|---|---|---|---|---|---|---|
"""


@dataclass
class Scene:
    """A stream, what the attacker has, and the lessons of strategies that learn from them."""

    labels: LabelSet
    frames: Tensor  # [n, d]
    truth: NDArray[np.int64]  # [n]
    poisons: dict[str, Tensor]  # [m, d] each, the worst first
    lessons: list[tuple[Tensor, str]]  # features [1, d] and a name


def encode(runtime: Runtime, made: PictureSet, chosen: Sequence[int]) -> Tensor:
    """[n, d] features of plain views."""
    clip, exact = runtime.clip, Reduction(reducers.build("none"))
    parts = [chosen[start : start + 64] for start in range(0, len(chosen), 64)]
    cut = ([look(made.picture(int(i)), clip.image_size, 1, 0).pixels for i in part] for part in parts)
    return torch.cat([clip.encode_image(torch.cat(views), exact) for views in cut])


def set_scene(runtime: Runtime, args: argparse.Namespace) -> Scene:
    made, other = read_npz([args.data]), read_npz([args.foreign])
    labels = LabelSet(made.names, made.templates)
    text, order = runtime.clip.text_space(labels), made.choose(args.frames + args.known)
    rows, truth = encode(runtime, made, order), made.labels[order]
    frames, known, known_truth = rows[: args.frames], rows[args.frames :], truth[args.frames :]
    taught = [place for c in range(len(made.names)) for place in np.flatnonzero(known_truth == c)[:LESSONS]]
    lessons = [(known[place][None], made.names[known_truth[place]]) for place in taught]
    sure, label = (text.scale * known @ text.features.T).softmax(1).max(1)
    sure[label == torch.from_numpy(known_truth)] = -1.0
    sure[taught] = -1.0
    wrong = known[sure.argsort(descending=True)][: int((sure > 0).sum())]
    foreign = encode(runtime, other, other.choose(args.frames))
    poisons = {"wrong": wrong, "one": wrong[:1], "foreign": foreign}
    return Scene(labels, frames, truth[: args.frames], poisons, lessons)


def mix(count: int, share: int) -> Iterator[int | None]:
    """Which of `count` frames comes next; None: one of the attacker's, `share` in 100 at random."""
    draw = np.random.default_rng(0)
    for frame in range(count):
        while draw.random() < share / 100:
            yield None
        yield frame


async def answers(
    runtime: Runtime, scene: Scene, strategy: str, mode: str, poison: str = "wrong", share: int = 0
) -> NDArray[np.int64]:
    """The labels [n] of all frames that are not the attacker's."""
    order, poisoned, sent = list(mix(len(scene.frames), share)), scene.poisons[poison], 0
    rows = list[Tensor]()
    for frame in order:
        rows.append(poisoned[sent % len(poisoned)][None] if frame is None else scene.frames[frame][None])
        sent += frame is None
    guard, below = MODES[mode]
    how = strategies.build(strategy), Reduction(reducers.build("none"))
    trust = TrustOptions(admit_below=below)
    request = Request(Features(rows[0]), scene.labels, *how, guard=guard, trust=trust)
    lessons = scene.lessons if strategy == "taught" else ()
    found = [int(report.logits.argmax()) async for report in answer_stream(runtime, request, rows, lessons)]
    return np.array([label for label, frame in zip(found, order, strict=True) if frame is not None])


async def measure(args: argparse.Namespace) -> dict[str, Any]:
    async with build_runtime(load(WIDE | {"lanes.cores": 1})) as runtime:
        scene = set_scene(runtime, args)
        text = runtime.clip.text_space(scene.labels)
        plain = (scene.frames @ text.features.T).argmax(1).numpy()
        rows = list[dict[str, Any]]()
        for strategy in args.strategies.split(","):
            clean = {mode: await answers(runtime, scene, strategy, mode) for mode in MODES}
            for poison in scene.poisons:
                for share in map(int, args.shares.split(",")):
                    row: dict[str, Any] = {"strategy": strategy, "poison": poison, "share": share}
                    for mode, before in clean.items():
                        after = await answers(runtime, scene, strategy, mode, poison, share)
                        lost = float((before == scene.truth).mean() - (after == scene.truth).mean())
                        row[mode] = [round(100 * float((before != after).mean()), 2), round(100 * lost, 2)]
                    rows.append(row)
                    print(json.dumps(row), flush=True)
        right = 100 * float((plain == scene.truth).mean())
    about = {"frames": args.frames, "data": "/".join(args.data.with_suffix("").parts[-2:]), "cpu": processor()}
    return about | {"load_average": load_average(), "plain": round(right, 2), "rows": rows}


def table(report: dict[str, Any]) -> str:
    lines = [HEAD.format(**report, what=(__doc__ or "").split("\n\n")[1])]
    for row in report["rows"]:
        cells = " | ".join(f"{row[mode][0]:.1f} ({0.0 - row[mode][1]:+.1f})" for mode in MODES)
        lines.append(f"| `{row['strategy']}` | {row['poison']} | {row['share']} | {cells} |\n")
    return "".join(lines)


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path, required=True)
    ask.add_argument("--foreign", type=Path, required=True, help="pictures of others")
    ask.add_argument("--frames", type=int, default=400)
    ask.add_argument(
        "--known", type=int, default=2000, help="other pictures of the set, of which the attacker's are taken"
    )
    ask.add_argument("--shares", default="5,20")
    ask.add_argument("--strategies", default=STRATEGIES)
    ask.add_argument("--out", type=Path, default=OUT)
    args = ask.parse_args()
    report = asyncio.run(measure(args))
    args.out.write_text(json.dumps(report, indent=1) + "\n")
    args.out.with_suffix(".md").write_text(table(report))
    print(table(report))


if __name__ == "__main__":
    main()
