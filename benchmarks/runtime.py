"""Precision, runtime and compression of the image tower side by side: speed, memory, and what it costs.

    python benchmarks/runtime.py [--data FOLDER] [--only pocket:eager,ViT-B-16:onnxruntime,…] [--pictures 1000]

Each form is a process of its own; the forms of one part run in turns, one forward each, beside float32 eager, so that a
ratio is one of forwards that met the same machine. CPU seconds of --threads threads, medians. ViT-B-16 has random
weights (speed alone); the pocket model sees real pictures that it never learnt from (the packed sets of
benchmarks/pocket/data.py). Every part that ends is written at once, and --only makes some parts anew.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from machine import instructions, processor
from pocket.data import load as pictures_of
from runtime_table import write_report
from torch import Tensor
from torch.nn.functional import interpolate

from tta_service.clip.hardware import why_not

BASE = {"precision": "float32", "runtime": "eager", "compress": ""}
PRECISIONS = {
    "eager": ("bfloat16", "float16", "int8"),
    "compile": ("float32", "bfloat16", "int8"),
    "onnxruntime": ("float32", "int8"),
    "openvino": ("float32", "bfloat16", "int8"),
}
COMPRESS = {"pocket": ("svd:96", "svd:72", "svd:48"), "ViT-B-16": ("svd:384", "svd:256", "svd:128")}
PRUNE = ("prune:0.2", "prune:0.4", "prune:0.6")
BATCHES = {1: 9, 8: 5, 64: 3}  # rows of a forward: how often
SETS = (("tiny_imagenet", "val"), ("cifar10", "test"))


def forms(model: str, part: str) -> list[dict[str, str]]:
    """The forms of one part; float32 eager is the first. What this machine lacks is left out."""
    if part == "compress":
        bytes_too = COMPRESS[model][1]
        chosen = [
            {**BASE, "compress": text} for text in (*COMPRESS[model], *(PRUNE if model == "pocket" else PRUNE[1:2]))
        ]
        chosen.append({**BASE, "precision": "int8", "compress": bytes_too})
    else:
        chosen = [{**BASE, "precision": precision, "runtime": part} for precision in PRECISIONS[part]]
    return [BASE, *(form for form in chosen if not why_not(form["precision"], torch.device("cpu")))]


class Worker:
    """A process that holds one form."""

    def __init__(self, model: str, threads: int, form: dict[str, str]) -> None:
        self.form = form
        command = [sys.executable, str(Path(__file__).with_name("runtime_worker.py"))]
        self._process = subprocess.Popen(
            [*command, model, str(threads), json.dumps(form)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.form} ended with {self._process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def measure(model: str, part: str, threads: int, pictures: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each form."""
    with ExitStack() as stack:
        workers = []
        for form in forms(model, part):
            workers.append(Worker(model, threads, form))
            stack.callback(workers[-1].close)
        rows: list[dict[str, Any]] = []
        for worker in workers:
            reply = worker.ask(memory=True)
            rows.append({**worker.form, "megabytes": round(reply["bytes"] / 1e6), "start": round(reply["start"], 1)})
            print(model, rows[-1], flush=True)
        for batch, times in BATCHES.items():
            seconds: list[list[float]] = [[] for _ in workers]
            for _ in range(times):
                for worker, some in zip(workers, seconds, strict=True):
                    some.append(worker.ask(rows=batch)["seconds"])
            plain = statistics.median(seconds[0])
            for row, some in zip(rows, seconds, strict=True):
                row[f"ms at {batch}"] = round(1e3 * statistics.median(some), 1)
                row[f"x at {batch}"] = round(plain / statistics.median(some), 2)
            print(model, part, {f"{r['precision']} {r['compress']}": r[f"x at {batch}"] for r in rows}, flush=True)
        if pictures and model == "pocket":
            answers(workers, rows, pictures)
    return rows


def answers(workers: list[Worker], rows: list[dict[str, Any]], pictures: dict[str, Any]) -> None:
    """Cosine and top-1 agreement with float32 eager, and accuracy, by set."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "given.pt", str(Path(folder) / "made.pt")
        for name, some in pictures.items():
            torch.save({"pixels": some["pixels"]}, given)
            workers[0].ask(text=some["names"], features=made)
            text, plain = torch.load(made), torch.zeros(0)
            for worker, row in zip(workers, rows, strict=True):
                worker.ask(pictures=str(given), features=made)
                features: Tensor = torch.load(made)
                plain = features if worker is workers[0] else plain
                answered, expected = (features @ text.T).argmax(1), (plain @ text.T).argmax(1)
                row[name] = {
                    "accuracy": round(100 * (answered == some["labels"]).float().mean().item(), 2),
                    "agreement": round(100 * (answered == expected).float().mean().item(), 2),
                    "cosine": round((features * plain).sum(-1).mean().item(), 5),
                    "least cosine": round((features * plain).sum(-1).min().item(), 5),
                }
                print(name, row["precision"], row["runtime"], row["compress"], row[name], flush=True)


def chosen_pictures(data: Path, size: int, count: int) -> dict[str, Any]:
    """The same pictures for every form."""
    found: dict[str, Any] = {}
    for folder, part in SETS:
        pictures = pictures_of(data, folder, part)
        some = torch.randperm(len(pictures.labels), generator=torch.Generator().manual_seed(0))[:count]
        pixels = interpolate(pictures.pixels[some].float(), size, mode="bicubic", antialias=True)
        pixels = pixels.round().clamp(0, 255).to(torch.uint8)
        found[folder] = {"pixels": pixels, "labels": pictures.labels[some], "names": list(pictures.names)}
    return found


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--data", type=Path)
    ask.add_argument("--pictures", type=int, default=1000)
    ask.add_argument("--threads", type=int, default=1)
    ask.add_argument("--only", help="parts, as pocket:eager,ViT-B-16:openvino")
    ask.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "runtime.json")
    args = ask.parse_args()
    every = [f"{model}:{part}" for model in COMPRESS for part in (*PRECISIONS, "compress")]
    pictures = chosen_pictures(args.data, 64, args.pictures) if args.data else {}
    result: dict[str, Any] = json.loads(args.out.read_text()) if args.out.exists() else {"parts": {}}
    for part in args.only.split(",") if args.only else every:
        model, _, name = part.partition(":")
        result["parts"][part] = measure(model, name, args.threads, pictures)
        result |= {
            "threads": args.threads,
            "torch": torch.__version__,
            "pictures": args.pictures,
            "cpu": ", ".join([processor(), *instructions()]),
        }
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")
        write_report(result, args.out)


if __name__ == "__main__":
    main()
