"""JPEGs decoded at a smaller scale beside full size: CPU milliseconds, features and pixels of their views.

    python benchmarks/large_jpegs.py [--pictures FOLDER] [--videos FOLDER] [--out benchmarks/results/large_jpegs.json]

Times are of one thread, for scikit-image's photographs enlarged to 12 megapixels (quality 90). Agreement is of the
plain view and of 63 crops of every file: those photographs in their own size, JPEGs in `--pictures`, and of each clip
in `--videos` eight frames, enlarged to 1920 × 1080 if they are smaller. Cosines are between features of the pocket
model (64 pixels); for towers of 224 pixels there are grey levels alone, between the views. Where a crop nearly fills
the picture, another attempt of the draw may be the first that fits in whole pixels: the crop is then another one.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL
import torch
from machine import processor
from PIL import Image
from skimage import data
from views import PHOTOS, jpeg, milliseconds

from tta_service.clip.load import load
from tta_service.core.evidence import Views
from tta_service.core.request import Encoded
from tta_service.images.decode import decode
from tta_service.images.files import ImageLimits
from tta_service.images.views import look

VIEWS, SIDES, LARGE = 64, 4, (4000, 3000)
ANY_SIZE = ImageLimits(1 << 30, 1 << 30, 1 << 16)


def read_clips(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Eight frames of each clip, by name."""
    import av

    for path in sorted([*folder.glob("*.mp4"), *folder.glob("*.gif")]):
        with av.open(str(path)) as clip:
            frames = [frame.to_image() for frame in clip.decode(video=0)]
        for place in np.linspace(0, len(frames) - 1, 8).astype(int):
            frame = frames[place]
            if min(frame.size) < 1080:
                frame = frame.resize((1920, 1080), Image.Resampling.BICUBIC)
            file = BytesIO()
            frame.save(file, "JPEG", quality=85)
            yield f"{path.name} {place}", file.getvalue()


def read_files(args: argparse.Namespace) -> Iterator[tuple[str, bytes]]:
    for name in PHOTOS:
        picture = getattr(data, name)()
        yield name, jpeg(name, picture.shape[1], picture.shape[0])
    for path in sorted(args.pictures.glob("*.jp*g")) if args.pictures else ():
        yield path.name, path.read_bytes()
    if args.videos:
        yield from read_clips(args.videos)


def time_decoding(rounds: int) -> list[dict[str, object]]:
    """CPU milliseconds of decoding, and of decoding and cutting views: the median over the photographs."""
    files = [Encoded(jpeg(name, *LARGE)) for name in PHOTOS]

    def median_over_files(work: Callable[[Encoded], object]) -> float:
        return round(statistics.median(milliseconds(partial(work, file), rounds)[0] for file in files), 1)

    rows: list[dict[str, object]] = []
    for size in (64, 224):
        for name, side in (("full", 0), ("scaled", SIDES * size)):
            row: dict[str, object] = {"image": "4000x3000", "size": size, "scale": name}
            row["decode_ms"] = median_over_files(partial(decode, jpeg_side=side))
            for views in (1, 64):
                cut = partial(decode_and_look, side=side, size=size, views=views)
                row[f"with_{views}_views_ms"] = median_over_files(cut)
            rows.append(row)
    return rows


def decode_and_look(file: Encoded, side: int, size: int, views: int) -> Views:
    return look(decode(file, jpeg_side=side), size, views, 0)


def compare(files: list[tuple[str, bytes]]) -> dict[str, object]:
    """How far views of the two are apart, over the files that are large enough to be decoded at a smaller scale."""
    clip, cosines, levels, count = load(), [], [], {64: 0, 224: 0}
    for _, file in files:
        for size in count:
            full, scaled = (decode(Encoded(file), ANY_SIZE, side) for side in (0, SIDES * size))
            if full.shape == scaled.shape:
                continue
            count[size] += 1
            one, two = (look(pixels, size, VIEWS, 0).pixels for pixels in (full, scaled))
            if size == clip.image_size:
                cosines.append((clip.encode_image(one) * clip.encode_image(two)).sum(-1))
            else:
                levels.append((one.float() - two.float()).abs().mean((1, 2, 3)))
    found, grey = torch.stack(cosines), torch.stack(levels) if levels else torch.zeros(1, VIEWS)
    return {
        "files": len(files),
        "scaled_for_64": count[64],
        "scaled_for_224": count[224],
        "cosine_plain_least": round(float(found[:, 0].min()), 5),
        "cosine_plain_median": round(float(found[:, 0].median()), 5),
        "cosine_crops_median": round(float(found[:, 1:].median()), 5),
        "cosine_crops_percent_1": round(float(found[:, 1:].flatten().quantile(0.01)), 5),
        "cosine_crops_least": round(float(found[:, 1:].min()), 5),
        "cosine_mean_of_views_least": round(float(found.mean(1).min()), 5),
        "levels_224_plain": round(float(grey[:, 0].mean()), 3),
        "levels_224_crops": round(float(grey[:, 1:].mean()), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--videos", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "large_jpegs.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    agreement = compare(list(read_files(args)))
    print("  ".join(f"{name} {value}" for name, value in agreement.items()))
    rows = time_decoding(args.rounds)
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    about = {"threads": 1, "cpu": processor(), "torch": torch.__version__, "pillow": PIL.__version__}
    args.out.write_text(json.dumps({**about, "agreement": agreement, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
