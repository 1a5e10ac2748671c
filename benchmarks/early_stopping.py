"""Views only as needed: how many rows are encoded, and how many answers stay those of all views.

    python benchmarks/early_stopping.py --data FOLDER [--pictures 150] [--features FOLDER] [--out FILE.json]

The pocket model on Tiny ImageNet (clean, fog) and CIFAR-10 (clean, noise), 64 views. For each strategy with the
parameter `agreement` and some values of it: the share of rows, equal answers, and the points of accuracy that it gains
over all views on the same pictures. For comparison: `rtpt` and `mta`, which do not have it, by the probabilities of
their confident views; a fixed number of views; and the naive rule, where the answer is the same over three of the
rounds 8, 16, 24, 32, 48, 64 and leads by 0.35. With `--features`, features are kept there, and pictures not needed
again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.machine import processor
from tta_service.clip.load import load
from tta_service.core.catalogue import strategies
from tta_service.core.evidence import Evidence
from tta_service.core.labels import LabelSet, TextSpace
from tta_service.evaluate.corruptions import corrupt
from tta_service.evaluate.npz import read_npz
from tta_service.images.views import look
from tta_service.maths import confident_count, confident_rows, lead_is_settled, round_sizes

VIEWS = 64
FILES = {"tiny": "tiny_imagenet/val.npz", "cifar": "cifar10/test.npz"}
CELLS = (("tiny", "none", 0), ("tiny", "fog", 3), ("cifar", "none", 0), ("cifar", "noise", 2))
AGREEMENTS = (0.99, 0.95, 0.9, 0.8)
Stops = Callable[[Evidence, Tensor, int], bool]  # the evidence so far, its logits, the number of the round


def encode(data: Path, name: str, kind: str, severity: int, count: int) -> tuple[Tensor, Tensor]:
    """Features [n, v, d] in half precision and labels [n] of pictures chosen by a fixed seed."""
    clip, pictures = load(), read_npz([data / FILES[name]])
    rows, labels = [], []
    for place, number in enumerate(map(int, pictures.choose(count))):
        pixels = corrupt(kind, severity, pictures.picture(number), place)
        rows.append(clip.encode_image(look(pixels, clip.image_size, VIEWS, place).pixels).half())
        labels.append(int(pictures.labels[number]))
    return torch.stack(rows), torch.tensor(labels)


def read_cells(args: argparse.Namespace) -> Iterator[tuple[Tensor, Tensor, TextSpace]]:
    for name, kind, severity in CELLS:
        file = args.features and args.features / f"{name}.{kind}.pt"
        if file and file.exists():
            rows, labels = torch.load(file)
        else:
            rows, labels = encode(args.data, name, kind, severity, args.pictures)
            if file:
                torch.save((rows, labels), file)
        text = load().text_space(LabelSet(read_npz([args.data / FILES[name]]).names))
        yield (
            normalize(rows[: args.pictures].float(), dim=-1),
            labels[: args.pictures],
            TextSpace.of(text.features, text.scale),
        )


def rules(name: str) -> Iterator[tuple[str, Any, tuple[int, ...], Stops]]:
    """What is compared: its name, the strategy, the rounds, and when to stop."""
    plain = strategies.build(name)
    has = any(field.name == "agreement" for field in strategies.describe(name).parameters)
    for agreement in AGREEMENTS:
        rounds = round_sizes(VIEWS, agreement)
        if has:
            strategy = strategies.build(name, {"agreement": agreement})
            yield f"agreement {agreement}", plain, rounds, lambda seen, _, __, by=strategy: by.is_settled(seen, VIEWS)
        else:
            doubt = (1 - agreement) / len(rounds)
            yield (
                f"as mean {agreement}",
                plain,
                rounds,
                lambda seen, logits, _, doubt=doubt: as_mean(seen, logits, doubt),
            )
    for views in (16, 32):
        yield f"{views} views", plain, (views,), lambda *_: True
    yield "naive", plain, (8, 16, 24, 32, 48), Naive()


def as_mean(seen: Evidence, logits: Tensor, doubt: float) -> bool:
    zero_shot = seen.logits()
    sure = zero_shot[confident_rows(seen, 0.3, zero_shot)].softmax(-1)
    return lead_is_settled(sure, logits, confident_count(VIEWS, 0.3), doubt)


class Naive:
    """The same answer in three rounds, and a lead of 0.35."""

    def __init__(self) -> None:
        self.answers: list[int] = []

    def __call__(self, seen: Evidence, logits: Tensor, number: int) -> bool:
        self.answers = [*(self.answers if number else []), int(logits.argmax())]
        first, second = logits.softmax(-1).topk(2).values
        return number >= 2 and len(set(self.answers[-3:])) == 1 and float(first - second) >= 0.35


def compare(name: str, cells: list[tuple[Tensor, Tensor, TextSpace]]) -> Iterator[dict[str, Any]]:
    full = [
        torch.stack([strategies.build(name).adapt(Evidence(views, text), None)[0].argmax() for views in rows])
        for rows, _, text in cells
    ]
    for rule, strategy, rounds, stops in rules(name):
        used = equal = gained = lost = count = 0
        for (rows, labels, text), answers in zip(cells, full, strict=True):
            for views, label, answer in zip(rows, labels, answers, strict=True):
                done, found = VIEWS, int(answer)
                for number, size in enumerate(rounds):
                    seen = Evidence(views[:size], text)
                    logits = strategy.adapt(seen, None)[0]
                    if stops(seen, logits, number):
                        done, found = size, int(logits.argmax())
                        break
                used, count, equal = used + done, count + 1, equal + (found == answer)
                gained += int(found == label) * int(answer != label)
                lost += int(found != label) * int(answer == label)
        yield {
            "strategy": name,
            "rule": rule,
            "rows": round(used / count / VIEWS, 3),
            "equal": round(float(equal) / count, 4),
            "points": round(100 * (gained - lost) / count, 2),
            "error": round(100 * (gained + lost) ** 0.5 / count, 2),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--pictures", type=int, default=150, help="of each of the four cells")
    parser.add_argument("--strategies", nargs="+", default=["zero", "mean", "rtpt", "mta"])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "early_stopping.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cells = list(read_cells(args))
    rows = []
    for name in args.strategies:
        for row in compare(name, cells):
            rows.append(row)
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    about = {"cpu": processor(), "pictures": sum(len(labels) for _, labels, _ in cells), "views": VIEWS}
    args.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
