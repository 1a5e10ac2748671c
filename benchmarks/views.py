"""Decode and look on one core: CPU milliseconds, ratio to Pillow one crop at a time, and how far the pixels are apart.

    python benchmarks/views.py [--out benchmarks/results/views.json]

The photographs are scikit-image's, resized and encoded with quality 90. The reference is what the published code does:
Pillow decodes, crops, resizes (bicubic for the plain view, bilinear for the crops) and mirrors, from the same boxes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL
import torch
from machine import processor
from PIL import Image, ImageOps
from skimage import data
from torchvision import transforms

from tta_service.core.evidence import Views
from tta_service.core.request import Encoded
from tta_service.images.decode import decode
from tta_service.images.views import look

SIZES = ((500, 375), (1920, 1080))
JOBS = (
    (64, 224, "crop"),
    (16, 224, "crop"),
    (64, 64, "crop"),
    (16, 64, "crop"),
    (16, 224, "augmix"),
    (10, 224, "named"),
)
PHOTOS = ("astronaut", "chelsea", "rocket", "coffee")


def jpeg(name: str, width: int, height: int) -> bytes:
    picture = Image.fromarray(getattr(data, name)())
    file = BytesIO()
    ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def milliseconds(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median and best CPU time of this one thread: neighbours on the machine cost less truth than with a clock."""
    times = []
    work()
    for _ in range(rounds):
        begun = time.thread_time()
        work()
        times.append(1e3 * (time.thread_time() - begun))
    return round(statistics.median(times), 2), round(min(times), 2)


def with_pillow(file: bytes, size: int, views: Views) -> np.ndarray:
    """[v, s, s, 3] uint8 from the boxes of `views`, one by one."""
    picture = Image.open(BytesIO(file)).convert("RGB")
    resize = transforms.Resize(size, interpolation=transforms.InterpolationMode.BICUBIC)
    rows = [transforms.CenterCrop(size)(resize(picture))]
    sides = torch.tensor([picture.width, picture.height] * 2)
    for (left, top, width, height), mirror in zip((views.boxes * sides).round().int()[1:].tolist(), views.flipped[1:]):
        part = picture.crop((left, top, left + width, top + height)).resize((size, size), Image.Resampling.BILINEAR)
        rows.append(ImageOps.mirror(part) if mirror else part)
    return np.stack([np.asarray(row) for row in rows])


def measure(width: int, height: int, count: int, size: int, augment: str, rounds: int) -> dict[str, object]:
    files = [jpeg(name, width, height) for name in PHOTOS]
    first = files[0]
    pixels = decode(Encoded(first))
    whole, best = milliseconds(lambda: look(decode(Encoded(first)), size, count, 0, augment), rounds)
    row: dict[str, object] = {
        "image": f"{width}x{height}",
        "views": count,
        "size": size,
        "augment": augment,
        "decode_ms": milliseconds(lambda: decode(Encoded(first)), rounds)[0],
        "look_ms": milliseconds(lambda: look(pixels, size, count, 0, augment), rounds)[0],
        "decode_and_look_ms": whole,
        "best_ms": best,
    }
    if augment == "crop":
        views = look(pixels, size, count, 0)
        reference, _ = milliseconds(lambda: with_pillow(first, size, views), max(3, rounds // 4))
        row |= {"pillow_ms": reference, "ratio": round(reference / whole, 2), **apart(files, size, count)}
    return row


def apart(files: list[bytes], size: int, count: int) -> dict[str, float]:
    """Grey levels between ours and the reference, over all photographs."""
    found = []
    for file in files:
        views = look(decode(Encoded(file)), size, count, 0)
        ours = views.pixels.permute(0, 2, 3, 1).numpy().astype(int)
        found.append(np.abs(ours - with_pillow(file, size, views)))
    levels = np.stack(found)
    return {
        "plain_mean": round(float(levels[:, 0].mean()), 4),
        "plain_max": int(levels[:, 0].max()),
        "crops_mean": round(float(levels[:, 1:].mean()), 4),
        "crops_99_percent": float(np.percentile(levels[:, 1:], 99)),
        "crops_max": int(levels[:, 1:].max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "views.json")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(*image, *job, args.rounds) for image in SIZES for job in JOBS]
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    about = {"threads": 1, "cpu": processor(), "torch": torch.__version__}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({**about, "pillow": PIL.__version__, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
