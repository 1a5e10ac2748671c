"""From JPEG to answer: the authors' way of ZERO, MTA, TPT and TDA, written plainly, beside the service's engine.

Both sides run in one process on as many threads, with one ViT-B-16 of random weights, 64 views (TDA: one) and ten
classes; nothing is encoded twice on either side, and text is encoded before. Frames are answered one after the other,
the sides in turn, and CPU seconds are counted. Random weights cost what trained ones cost; the answers mean nothing.

    python benchmarks/end_to_end.py [--frames 3] [--views 64] [--threads 1] [--forms float32] [--strategies zero,tda]

Writes benchmarks/results/end_to_end.json: what is there of other strategies stays.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

import open_clip
import torch
from end_to_end_plain import METHODS, Scene
from machine import instructions, load_average, processor
from overhead_sides import pictures

from tta_service.app.runtime import build_runtime
from tta_service.clip.encoder_config import make_encoder_config
from tta_service.clip.model import FrozenCLIP
from tta_service.core.catalogue import reducers, strategies
from tta_service.core.labels import LabelSet
from tta_service.core.reducer import Reduction
from tta_service.core.request import Encoded, Request
from tta_service.serving.engine import Engine
from tta_service.settings import load

OUT = Path(__file__).parent / "results" / "end_to_end.json"
NAMES = ("dog", "cat", "horse", "ship", "truck", "frog", "deer", "bird", "car", "plane")
QUIET = {"metrics.enabled": False, "http.enabled": False, "log.level": "error", "batch.max_rows": 64}
EXACT = Reduction(reducers.build("none"))


def make_model() -> tuple[Any, Any]:
    """ViT-B-16 as open_clip initialises it, at CLIP's trained scale, and its tokenizer."""
    torch.manual_seed(0)
    model: Any = open_clip.create_model("ViT-B-16")
    torch.nn.init.constant_(model.logit_scale, math.log(100.0))
    return model.eval().requires_grad_(False), open_clip.get_tokenizer("ViT-B-16")


async def measure(args: argparse.Namespace, write: Callable[[str, dict[str, Any]], None]) -> None:
    """CPU seconds of a frame by each side, for one strategy after the other."""
    model, tokenizer = make_model()
    scene, images = Scene.make(model, tokenizer, NAMES, args.views), pictures(args.frames)
    async with AsyncExitStack() as stack:
        engines: dict[str, Engine] = {}
        for form in args.forms.split(","):
            config = make_encoder_config(form, "eager", "", (), torch.device("cpu"))
            clip = FrozenCLIP(copy.deepcopy(model), tokenizer, name="ViT-B-16", config=config)
            runtime = build_runtime(load(QUIET | {"lanes.cores": args.threads}), clip)
            engines[form] = (await stack.enter_async_context(runtime)).engine
            await engines[form].classify(_request(images[0], "zero_shot"))  # encodes the text
        scene.encode(images[0], 1)
        for name in args.strategies.split(","):
            plainly, options = METHODS[name](scene), {} if name == "tda" else {"views": args.views}
            seconds: dict[str, list[float]] = {side: [] for side in ("authors", *engines)}
            for image in images:
                began = time.process_time()
                plainly(image)
                seconds["authors"].append(time.process_time() - began)
                for form, engine in engines.items():
                    began = time.process_time()
                    await engine.classify(_request(image, name, options))
                    seconds[form].append(time.process_time() - began)
            write(name, _summarise(seconds))


def _request(image: bytes, strategy: str, options: Mapping[str, Any] = MappingProxyType({})) -> Request:
    return Request(Encoded(image), LabelSet(NAMES), strategies.build(strategy, options), EXACT, session="camera")


def _summarise(seconds: dict[str, list[float]]) -> dict[str, Any]:
    found: dict[str, Any] = {name: round(statistics.median(each), 3) for name, each in seconds.items()}
    ratios = {
        name: [round(a / b, 2) for a, b in zip(seconds["authors"], each, strict=True)]
        for name, each in seconds.items()
        if name != "authors"
    }
    return {"cpu_seconds": found, "times_less": {n: [statistics.median(r), min(r), max(r)] for n, r in ratios.items()}}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--views", type=int, default=64)
    parser.add_argument(
        "--threads", type=int, default=1, help="of a forward; several wait for one another on busy cores"
    )
    parser.add_argument("--forms", default="float32,int8", help="precisions of our side")
    parser.add_argument("--strategies", default=",".join(METHODS))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    report = json.loads(OUT.read_text()) if OUT.exists() else {"rows": {}}
    machine = {"processor": processor(), "instructions": instructions(), "cores": os.cpu_count()}
    machine |= {name: getattr(args, name) for name in ("frames", "views", "threads")}

    def write(strategy: str, row: dict[str, Any]) -> None:
        report["rows"][strategy] = row | machine | {"load": load_average()}
        print(strategy, row, flush=True)
        OUT.write_text(json.dumps(report, indent=1) + "\n")

    asyncio.run(measure(args, write))
    return 0


if __name__ == "__main__":
    sys.exit(main())
