"""What TPT costs after image encoding, beside the way it is usually written. ViT-B-16's text tower, random weights.

The plain way (benchmarks/tpt_plain.py): every class padded to 77 tokens, forward, backward, AdamW step, forward, for
every image. Ours: `tta_service.strategies.tpt` over the prompts of `tta_service.clip`, with activations kept between
images, or recomputed some classes at a time. Both float32, weights frozen, SDPA, the same threads, 64 views; with the
ImageNet names and with names of one token.

    python benchmarks/tpt.py [--classes 20,100,1000] [--only compare|peak|imagenet|short] [--threads 1] [--at-once 1]

Writes benchmarks/results/tpt.json and .md as it goes; what is not measured again stays. The plain way takes half a
minute of one core per 100 classes, and 3 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from machine import processor
from tpt_table import table

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "tpt.json"
KEY = ("names", "classes", "way")
NAMES = ("imagenet", "short")
FRAMES = {20: (160, 9), 100: (48, 6), 1000: (14, 2)}  # of ours with activations kept, of the plain way
BEGUN = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
SLOPE = (50, 100)  # classes at which the plain way's memory is measured; it grows in a straight line


def main() -> int:
    args = _arguments()
    jobs: list[tuple[str, dict[str, Any]]] = []
    for classes in sorted(args.classes, reverse=True):
        frames, plain_frames = FRAMES.get(classes, (4, 1))
        plain_frames = plain_frames if args.plain_frames is None else args.plain_frames
        options = {"classes": classes, "frames": frames, "plain_frames": plain_frames}
        jobs += [("compare", {"names": names, **options}) for names in NAMES]
    if args.plain_frames != 0:
        jobs += [("peak", {"way": "plain", "names": "imagenet", "classes": classes}) for classes in SLOPE]
    for classes in args.classes:
        jobs += [("peak", {"way": w, "names": n, "classes": classes}) for w in ("kept", "recomputed") for n in NAMES]
    if args.only:
        jobs = [job for job in jobs if args.only in (job[0], job[1].get("names"))]
    RESULTS.parent.mkdir(exist_ok=True)
    with ThreadPoolExecutor(args.at_once) as pool:
        for kind, row in pool.map(lambda job: measure(job[0], {**job[1], "threads": args.threads}), jobs):
            save(kind, row)
    print(RESULTS.with_suffix(".md").read_text())
    return 0


def measure(kind: str, options: dict[str, Any]) -> tuple[str, Any]:
    """One measurement in a process of its own, so that its memory counts alone."""
    command = [sys.executable, str(HERE / "tpt_sides.py"), kind, json.dumps(options)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return kind, {**json.loads(run.stdout), "threads": options["threads"], "load": os.getloadavg()[0], "run": BEGUN}


def save(kind: str, row: dict[str, Any]) -> None:
    """Puts the row into the results in place of an older one of its kind."""
    report = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"compare": [], "peak": []}
    same = [{key: one.get(key) for key in KEY} != {key: row.get(key) for key in KEY} for one in report[kind]]
    rows = [one for one, other in zip(report[kind], same, strict=True) if other]
    report[kind] = sorted([*rows, row], key=lambda one: (one["names"], one["classes"], one.get("way", "")))
    report["machine"] = {"cpu": processor(), "cores": os.cpu_count(), "torch": torch.__version__}
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    RESULTS.with_suffix(".md").write_text(table(report))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--classes", type=lambda text: [int(n) for n in text.split(",")], default=[20, 100, 1000])
    parser.add_argument("--only", default="", help="compare, peak, imagenet or short")
    parser.add_argument("--plain-frames", type=int, help="0: its time is that of the other names, padded alike")
    parser.add_argument("--threads", type=int, default=1, help="of every process")
    parser.add_argument("--at-once", type=int, default=1, help="processes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
