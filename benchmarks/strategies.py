"""What adaptation costs beside encoding: milliseconds to the answer and after it, and bytes of memory.

For each strategy × 10, 100, 1000 classes × 1 and 64 views (where it looks at several), 512 features, one thread,
memories full. Frames that change a memory and frames that leave it alone are timed apart where a strategy tells them
apart. The text map of the prompt-tuning strategies is a stand-in of two small matrices, so theirs is the cost without
the text tower (that is benchmarks/tpt.py).

    python benchmarks/strategies.py [--strategies zero,tda] [--classes 10,100,1000] [--seconds 0.6]

Writes benchmarks/results/strategies.json and .md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from machine import processor
from torch import Tensor

from tta_service import Evidence, LabelSet, Scope, Strategy, TextSpace
from tta_service.core.memory import map_tensors, nbytes, tensors
from tta_service.maths import unit
from tta_service.strategies import catalogue
from tta_service.testing import FakeCLIP

DIMENSION = 512
RESULTS = Path(__file__).resolve().parent / "results"
HEAD = "| strategy | classes | views | frames | ms to the answer | ms after it | begin ms | memory |\n|" + "---|" * 8


def main() -> int:
    args = _arguments()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    print(HEAD)
    for name in args.strategies:
        for classes in args.classes:
            for row in measure(name, classes, args.seconds):
                rows.append(row)
                print(line(row), flush=True)
    if not args.dry:
        save(rows)
    return 0


def measure(name: str, classes: int, seconds: float) -> Iterator[dict[str, Any]]:
    """One row per number of views and kind of frame."""
    text = space(classes)
    several = any(field.name == "views" for field in catalogue.describe(name).parameters)
    for views in (1, 64) if several else (catalogue.get(name)().needs().views,):
        strategy = catalogue.build(name, {"views": views} if several else {})
        with mode(strategy):
            began = time.thread_time()
            memory = strategy.begin(text)
            begin = time.thread_time() - began
        memory = map_tensors(memory, Tensor.clone)
        fill(memory, text)
        kinds = ("changing", "still") if hasattr(memory, "updates") else ("any",)
        for kind in kinds:
            before, after, memory = time_frames(strategy, text, memory, views, kind, seconds)
            times = {"before": _milliseconds(before), "after": _milliseconds(after), "begin": 1e3 * begin}
            yield {
                "strategy": name,
                "classes": classes,
                "views": views,
                "frames": kind,
                **times,
                "bytes": nbytes(memory),
            }


def time_frames(
    strategy: Strategy[Any], text: TextSpace, memory: Any, views: int, kind: str, seconds: float
) -> tuple[list[float], list[float], Any]:
    """CPU seconds until the answer, and from there to the end of the update, frame by frame."""
    before: list[float] = []
    after: list[float] = []
    until = time.perf_counter() + seconds
    for seen in scenes(text, views):
        if kind != "any":
            memory.entropy.fill_(1e3 if kind == "changing" else 0.0)
        with mode(strategy):
            start = time.thread_time()
            _, carry = strategy.predict(seen, memory)
            middle = time.thread_time()
            memory = strategy.update(seen, memory, carry)
            over = time.thread_time()
        before.append(middle - start)
        after.append(over - middle)
        if len(before) >= 8 and time.perf_counter() > until:
            return before[3:], after[3:], memory
    raise AssertionError("scenes do not end")


def space(classes: int) -> TextSpace:
    """Text features that share a direction, with the prompts of a small stand-in."""
    prompts = FakeCLIP(dimension=DIMENSION).text_space(LabelSet(tuple(f"thing number {i}" for i in range(classes))))
    draw = torch.Generator().manual_seed(0)
    features = unit(torch.randn(1, DIMENSION, generator=draw) + 0.7 * torch.randn(classes, DIMENSION, generator=draw))
    return TextSpace(prompts.labels, features, 100.0, lambda: prompts.prompts, prompts.embed)


def scenes(text: TextSpace, views: int) -> Iterator[Evidence]:
    """Images whose logits spread as CLIP's do, and views around them."""
    draw = torch.Generator().manual_seed(1)
    place = 0
    while True:
        noise = torch.randn(1 + views, DIMENSION, generator=draw) / DIMENSION**0.5
        plain = 0.2 * text.features[place % len(text.features)] + noise[0]
        yield Evidence(unit(plain + 0.5 * torch.rand(views, 1, generator=draw) * noise[1:]), text)
        place += 7


def fill(memory: Any, text: TextSpace) -> None:
    """Every slot of a memory taken, as after a long stream. In place."""
    held = tensors(memory)
    draw = torch.Generator().manual_seed(2)
    for name, tensor in held.items():
        if name in ("features", "keys", "negative_keys", "bank") and tensor.ndim == 3:
            images = text.features[:, None] * 0.8 + torch.randn(tensor.shape, generator=draw) / DIMENSION**0.5
            tensor.copy_(unit(images))
        elif name == "rows":
            tensor.copy_(0.7 * torch.randn(tensor.shape, generator=draw) / DIMENSION**0.5)
        elif name in ("entropy", "negative_entropy", "confidence", "weight"):
            tensor.copy_(torch.rand(tensor.shape, generator=draw).sort(-1).values)
        elif name == "negative_mask":
            tensor.copy_(torch.rand(tensor.shape, generator=draw) < 10 / len(text.features))
        elif name == "filled":
            tensor.fill_(True)
        elif name == "scatter" and "features" in held:
            residuals = (held["features"].float() - text.features[:, None]).flatten(0, 1).double()
            tensor.copy_(residuals.T @ residuals)
        elif name in ("count", "seen", "touched"):
            tensor.fill_(held["features"].shape[1] if name == "count" and tensor.ndim and "features" in held else 50)


def mode(strategy: Strategy[Any]) -> Any:
    needs = strategy.needs()
    return torch.no_grad() if needs.gradient or needs.memory is Scope.LABELS else torch.inference_mode()


def line(row: dict[str, Any]) -> str:
    size = f"{row['bytes'] / 1e6:.2f} MB" if row["bytes"] else "–"
    after = f"{row['after']:.2f}" if row["after"] >= 0.05 else "–"
    begin = f"{row['begin']:.1f}" if row["begin"] >= 1 else "–"
    return (
        f"| `{row['strategy']}` | {row['classes']} | {row['views']} | {row['frames']} | {row['before']:.2f} | {after} "
        f"| {begin} | {size} |"
    )


def save(rows: list[dict[str, Any]]) -> None:
    """Beside the rows of other strategies that were measured on such a processor before; others are left behind."""
    load = round(os.getloadavg()[0], 1)
    rows = [{**row, "load": load} for row in rows] + [row for row in _kept() if not _is_among(row, rows)]
    rows.sort(key=lambda row: (row["strategy"], row["classes"], row["views"], row["frames"]))
    machine = {"cpu": processor(), "cores": os.cpu_count(), "torch": torch.__version__}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "strategies.json").write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    about = " ".join((__doc__ or "").split("\n\n")[1].split())
    loads = sorted({row["load"] for row in rows})
    title = f"# What adaptation costs beside encoding\n\n{about}\n\nMedians of CPU time on one core"
    title += f" ({machine['cpu']}), while the machine's load was {' or '.join(map(str, loads))}"
    title += f" on {machine['cores']} cores."
    (RESULTS / "strategies.md").write_text("\n".join([title, "", HEAD, *map(line, rows)]) + "\n")


def _kept() -> list[dict[str, Any]]:
    path = RESULTS / "strategies.json"
    held: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    rows: list[dict[str, Any]] = held.get("rows", [])
    return rows if held and held["machine"]["cpu"] == processor() else []


def _is_among(row: dict[str, Any], rows: list[dict[str, Any]]) -> bool:
    return any(all(row[key] == one[key] for key in ("strategy", "classes", "views", "frames")) for one in rows)


def _milliseconds(seconds: list[float]) -> float:
    return 1e3 * statistics.median(seconds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--strategies", type=lambda s: s.split(","), default=list(catalogue.names()))
    parser.add_argument("--classes", type=lambda s: [int(c) for c in s.split(",")], default=[10, 100, 1000])
    parser.add_argument("--seconds", type=float, default=0.6, help="at least, per row")
    parser.add_argument("--dry", action="store_true", help="print only")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
