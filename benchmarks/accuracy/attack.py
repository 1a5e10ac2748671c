"""What do an attacker's pictures do to strategies?

*PGD* (Madry et al., 2018, arXiv:1706.06083): ten signed steps of 0.25 ε on the pixels of the model's input, clipped to
ε around the picture, up the cross-entropy of its label. *plain* looks at the plain view's answer alone; *views* at the
mean probability of eight random crops at each step, as an attacker would who knows that views are cut (expectation over
transformations, Athalye et al., 2018, arXiv:1707.07397). The attacker has the weights, and knows neither the views that
are drawn later nor lessons. *name*: the name of a wrong class is written across the picture. `taught` has had four
clean lessons of each class, of other pictures. Top-1 in percent.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from tta_service.clip.model import FrozenCLIP
from tta_service.clip.weights.checkpoint import from_files
from tta_service.core.catalogue import strategies
from tta_service.core.evidence import Evidence
from tta_service.core.labels import LabelSet, TextSpace
from tta_service.core.strategy import apply_fit, is_teachable
from tta_service.evaluate.contenders import Contender
from tta_service.evaluate.pictures import PictureSet
from tta_service.images.views import look

from .setup import about_of, make_extractor, save

STEPS, STEP, CROPS, LEAST = 10, 0.25, 8, 0.5  # LEAST: of the sides of the attacker's crops
Encode = Callable[[Tensor], Tensor]  # pixels [n, 3, s, s] in 0 … 1 -> unit features [n, d], with gradients


@dataclass(frozen=True)
class AttackRow:
    """One strategy under one attack."""

    set: str
    attack: str
    strategy: str
    pictures: int
    top1: float  # percent


def measure(
    clip: FrozenCLIP, encode: Encode, made: PictureSet, contenders: Sequence[Contender], radii: Sequence[int],
    count: int, each: int, folder: Path,
) -> Iterator[AttackRow]:  # fmt: skip
    """`radii` in 1/255; lessons are `each` of a class. Features of attacked pictures are kept in the folder."""
    text = clip.text_space(LabelSet(made.names, made.templates))
    order = made.choose(len(made))
    chosen, lessons = order[:count], _first_of_each(made.labels, order[count:], each)
    clean = torch.cat([look(made.picture(int(i)), clip.image_size, 1, 0).pixels for i in chosen]).float() / 255
    truth = made.labels[chosen]
    attacks: dict[str, Callable[[], Tensor]] = {"none": lambda: clean}
    for radius in radii:
        for name, crops in (("plain", 1), ("views", CROPS)):
            attacks[f"PGD {radius}/255, {name}"] = partial(move, encode, clean, truth, text, radius / 255, crops)
    attacks["name"] = lambda: torch.stack(
        [write(one, made.names[int(wrong)]) for one, wrong in zip(clean, _others(truth, made))]
    )
    rows = {int(i): clip.encode_image(look(made.picture(int(i)), clip.image_size, 1, 0).pixels) for i in lessons}
    most = max(one.needs.views for one in contenders)
    encoded = {attack: _encode(clip, folder / made.tag, attack, most, make) for attack, make in attacks.items()}
    for one in contenders:
        strategy = strategies.build(one.strategy, one.parameters)
        memory = strategy.begin(text)
        if is_teachable(strategy):
            for place, i in enumerate(lessons):
                memory = strategy.teach(Evidence(rows[int(i)], text, time=60.0 * place), int(made.labels[i]), memory)
            memory = apply_fit(memory, strategy.fit(memory, text))
        for attack, features in encoded.items():
            right = 0
            for views, label in zip(features, truth, strict=True):
                with torch.set_grad_enabled(one.needs.gradient):
                    logits, _ = strategy.predict(Evidence(views[: one.needs.views], text), memory)
                right += int(logits.argmax()) == label
            yield AttackRow(made.name, attack, str(one), len(truth), 100.0 * right / len(truth))


def _encode(clip: FrozenCLIP, folder: Path, attack: str, views: int, make: Callable[[], Tensor]) -> list[Tensor]:
    """The features [views, d] of each picture; made once."""
    file = folder / f"{clip.fingerprint[:12]}-{attack.replace('/', '-').replace(' ', '')}-{views}.npy"
    if not file.exists():
        rows = [
            clip.encode_image(look(picture, clip.image_size, views, place).pixels).numpy()
            for place, picture in enumerate((255 * make()).round().byte())
        ]
        folder.mkdir(parents=True, exist_ok=True)
        np.save(file, np.stack(rows))
    return list(torch.from_numpy(np.load(file)))


def differentiable(name: str, checkpoint: str, clip: FrozenCLIP) -> Encode:
    """The image tower with gradients. The bundled one, as it is served, has operators without: it is loaded again."""
    model = clip.model
    if name == "pocket" and not checkpoint:
        folder = Path(str(files("tta_service.clip.pocket")))
        model = from_files(folder / "open_clip_config.json", folder / "pocket.safetensors").model.eval()
        model.requires_grad_(False)
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (model.visual.image_mean, model.visual.image_std))
    return lambda pixels: model.encode_image((pixels - mean) / std, normalize=True)


def run(args: argparse.Namespace) -> int:
    """The mode of the command line."""
    extractor, rows = make_extractor(args), list[AttackRow]()
    encode = differentiable(args.model, args.checkpoint, extractor.clip)
    contenders, folder = [Contender.of(text) for text in args.strategies], args.work / f"attack-{args.count}"
    for made in extractor.sets.values():
        rows += measure(extractor.clip, encode, made, contenders, args.radii, args.count, args.each, folder)
    save(args, f"{args.name}.json", json.dumps({"about": about_of(args), "rows": as_dicts(rows)}, indent=1))
    lines = ["# Attacked pictures", "", about_of(args)["command"], "", __doc__ or "", *markdown(rows)]
    save(args, f"{args.name}.md", "\n".join(lines))
    print("\n".join(markdown(rows)))
    return 0


def move(encode: Encode, clean: Tensor, truth: NDArray[np.int64], text: TextSpace, radius: float, crops: int) -> Tensor:
    """Pictures [n, 3, s, s] within `radius` of the clean ones."""
    draw, goal = torch.Generator().manual_seed(0), torch.from_numpy(truth)
    moved = clean.clone()
    for _ in range(STEPS):
        moved.requires_grad_(True)
        chance = [
            (text.scale * encode(moved if crops == 1 else _crop(moved, draw)) @ text.features.T).softmax(1)
            for _ in range(crops)
        ]
        loss = F.nll_loss(torch.stack(chance).mean(0).clamp_min(1e-12).log(), goal, reduction="sum")
        (slope,) = torch.autograd.grad(loss, moved)
        moved = moved.detach() + STEP * radius * slope.sign()
        moved = clean + (moved - clean).clamp(-radius, radius)
        moved = moved.clamp(0, 1)
    return moved


def _crop(pictures: Tensor, draw: torch.Generator) -> Tensor:
    """The same random crop of all, at their size, mirrored half of the time."""
    side, chance = pictures.shape[-1], torch.rand(4, generator=draw).tolist()
    size = round(side * (LEAST + (1 - LEAST) * chance[0]))
    left, top = (int(one * (side - size + 1)) for one in chance[1:3])
    part = pictures[..., top : top + size, left : left + size]
    part = F.interpolate(part, size=(side, side), mode="bicubic", antialias=True)
    return part.flip(-1) if chance[3] < 0.5 else part


def write(picture: Tensor, name: str) -> Tensor:
    """A picture [3, s, s] in 0 … 1 with a name in white on black across its lower part."""
    image = Image.fromarray((255 * picture).round().byte().permute(1, 2, 0).numpy())
    side, pen = image.width, ImageDraw.Draw(image)
    height = side // 5
    while height > 4 and pen.textlength(name, font=ImageFont.load_default(height)) > side - 2:
        height -= 1
    pen.rectangle((0, side - height - 4, side, side), fill="black")
    pen.text((1, side - height - 3), name, fill="white", font=ImageFont.load_default(height))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def _others(truth: NDArray[np.int64], made: PictureSet) -> NDArray[np.int64]:
    """A wrong class for each."""
    return (truth + np.random.default_rng(0).integers(1, len(made.names), len(truth))) % len(made.names)


def _first_of_each(labels: NDArray[np.int64], order: NDArray[np.int64], each: int) -> list[int]:
    return [int(i) for label in np.unique(labels) for i in order[labels[order] == label][:each]]


def as_dicts(rows: Sequence[AttackRow]) -> list[dict[str, object]]:
    return [asdict(row) | {"top1": round(row.top1, 2)} for row in rows]


def markdown(rows: Sequence[AttackRow]) -> list[str]:
    attacks, lines = list(dict.fromkeys(row.attack for row in rows)), list[str]()
    for name in dict.fromkeys(row.set for row in rows):
        some = [row for row in rows if row.set == name]
        lines += ["", f"{name}, {some[0].pictures} pictures", "", f"| strategy | {' | '.join(attacks)} |"]
        lines.append("|---" * (len(attacks) + 1) + "|")
        for strategy in dict.fromkeys(row.strategy for row in some):
            found = {row.attack: row.top1 for row in some if row.strategy == strategy}
            cells = [f"{found[attack]:.0f}" if attack in found else "" for attack in attacks]
            lines.append(f"| `{strategy}` | {' | '.join(cells)} |")
    return lines
