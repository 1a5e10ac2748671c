"""Which precision, runtime and number of threads are fastest on this machine and still agree with float32.

`python -m tta_service.clip.tuning` reads a `Search` as JSON and prints a measurement a line, float32 first. It is a
process of its own so that it can be killed: int8 on two threads that wait for each other takes seconds where another
process has one of the cores.

The pictures are photographs of scikit-image that are in the public domain or CC0.
"""

from __future__ import annotations

import copy
import json
import math
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Gt
from PIL import Image
from pydantic import TypeAdapter
from torch import Tensor
from torch.nn import functional as F

from ..core.labels import LabelSet
from . import CannotLoad
from .encoder_config import EncoderConfig
from .image.compression import parse_compression
from .load import find_device, load_parts
from .model import FrozenCLIP
from .weights.checkpoint import LoadedModel

SHEET = "agreement.jpg"  # pictures of TILE × TILE pixels, in rows
TILE, PART = 160, 120  # and the side of a view of a part
SIZES = (1, 8, 32)  # rows of a forward
COSINE, EQUAL, LEAD = 0.998, 0.98, 0.02  # the least cosine, share of equal answers, and lead of an answer that counts
NAMES = (
    *("astronaut", "cat", "cup of coffee", "rocket", "man with a camera", "galaxies", "brick wall", "grass"),
    *("dog", "car", "flower", "tree", "house", "bird", "boat", "table", "mountain", "sea", "street", "food"),
)


@dataclass(frozen=True)
class Form:
    """A way to run the image tower."""

    precision: str
    runtime: str
    threads: int


EXACT = Form("float32", "eager", 0)  # threads 0: as many as there are cores


@dataclass(frozen=True)
class Search:
    """What is to be measured: a model by the arguments of `load`, and its forms."""

    model: dict[str, str]
    precisions: list[str]
    runtimes: list[str]
    threads: list[int]  # rising

    def forms(self) -> Iterator[Form]:
        """Float32 first, for comparison; few threads first, because more of them are slow where cores are shared."""
        ways = [(precision, runtime) for runtime in self.runtimes for precision in self.precisions]
        found = [Form(*way, threads) for threads in self.threads for way in ways]
        yield from dict.fromkeys([replace(EXACT, threads=self.threads[0]), *found])


@dataclass(frozen=True)
class Measurement:
    """What was found of a form."""

    form: Form
    rates: dict[int, Annotated[float, Gt(0)]] = field(
        default_factory=dict[int, float]
    )  # rows of a forward -> rows a second
    cosine: float = 1.0  # the least between features and those of float32
    equal: float = 1.0  # share of equal answers

    @property
    def agrees(self) -> bool:
        """Whether it may stand for float32."""
        return self.cosine >= COSINE and self.equal >= EQUAL

    @property
    def speed(self) -> float:
        """The geometric mean of the rates."""
        return math.exp(sum(map(math.log, self.rates.values())) / len(self.rates))

    @classmethod
    def from_json(cls, line: str) -> Measurement:
        """What `to_json` has written. Raises `ValidationError`, a ValueError, for anything else."""
        return TypeAdapter(cls).validate_json(line)

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


def choose(search: Search, found: Iterable[Measurement]) -> Measurement | None:
    """The fastest that was asked for and agrees with float32; None where there is none."""
    asked = [one for one in found if one.form.precision in search.precisions and one.form.runtime in search.runtimes]
    return max((one for one in asked if one.agrees), key=lambda one: one.speed, default=None)


def measure_forms(search: Search) -> Iterator[Measurement]:
    """Measurements one by one. A form that this model or this machine cannot have is left out."""
    device, compress = find_device(search.model["device"]), parse_compression(search.model["compress"])
    names = ("name", "pretrained", "checkpoint", "config", "plugin")
    parts, _ = load_parts(*(search.model[name] for name in names))
    expected = answers = None
    clips: dict[tuple[str, str], tuple[FrozenCLIP, float, float]] = {}
    for form in search.forms():
        torch.set_num_threads(form.threads)
        if (way := (form.precision, form.runtime)) not in clips:
            try:
                clip = _build(parts, EncoderConfig(*way, compress), device)
                rows = read_views(clip.image_size)
                features = clip.encode_image(rows)
            except (CannotLoad, RuntimeError, ImportError):
                continue
            if expected is None or answers is None:
                expected, answers = features, features @ clip.text_space(LabelSet(NAMES)).features.T * clip.scale
            clips[way] = clip, *compare_features(features, expected, answers, clip)
        clip, cosine, equal = clips[way]
        yield Measurement(form, {size: _rate(clip, rows[:size]) for size in SIZES}, cosine, equal)


def _build(parts: LoadedModel, config: EncoderConfig, device: torch.device) -> FrozenCLIP:
    options: Any = {"config": config, "device": device, "vocabulary": parts.vocabulary}
    return FrozenCLIP(copy.deepcopy(parts.model), parts.tokenizer, **options)


def read_views(size: int) -> Tensor:
    """Views [64, 3, s, s] of the pictures: the whole, two corners and the centre, each also mirrored."""
    with (files("tta_service.clip") / SHEET).open("rb") as file, Image.open(file) as sheet:
        pixels = torch.from_numpy(np.array(sheet)).permute(2, 0, 1)
    tiles = pixels.unfold(1, TILE, TILE).unfold(2, TILE, TILE).flatten(1, 2).transpose(0, 1)  # [8, 3, t, t]
    parts = [tiles, *(tiles[..., at : at + PART, at : at + PART] for at in (0, (TILE - PART) // 2, TILE - PART))]
    views = [F.interpolate(part, size=(size, size), mode="bicubic", antialias=True) for part in parts]
    return torch.cat([view for each in views for view in (each, each.flip(-1))])


def compare_features(features: Tensor, expected: Tensor, answers: Tensor, clip: FrozenCLIP) -> tuple[float, float]:
    """The least cosine, and the share of equal answers. Answers that hardly lead do not count: random weights have
    only such."""
    text = clip.text_space(LabelSet(NAMES)).features
    first, second = answers.softmax(-1).topk(2).values.unbind(-1)
    equal = ((features @ text.T).argmax(-1) == answers.argmax(-1))[first - second >= LEAD]
    return float((features * expected).sum(-1).min()), float(equal.float().mean()) if len(equal) else 1.0


def _rate(clip: FrozenCLIP, rows: Tensor, runs: int = 3) -> float:
    clip.encode_image(rows)
    times: list[float] = []
    for _ in range(runs):
        began = time.perf_counter()
        clip.encode_image(rows)
        times.append(time.perf_counter() - began)
    return len(rows) / max(min(times), 1e-9)


def main() -> None:
    """Measure what standard input asks for."""
    for measurement in measure_forms(Search(**json.load(sys.stdin))):
        print(measurement.to_json(), flush=True)


if __name__ == "__main__":
    main()
