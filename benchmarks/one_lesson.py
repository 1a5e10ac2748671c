"""How much one lesson moves the next answer to the picture that it is about, for each strategy that can be taught.

The pictures are scikit-learn's two photographs, answered as one of three names by the pocket model. In two sessions the
picture is answered twice; between the answers one of the sessions is told that it shows the last of the names in the
answer's order. The result is that name's probability in the second answer, without and with the lesson, and whether the
label follows. `taught` is asked until its fit is done, for ten seconds at most.

    python benchmarks/one_lesson.py
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from machine import processor
from sklearn.datasets import load_sample_images

import tta_service as tta
from tta_service.strategies import catalogue

PICTURES = Path(load_sample_images.__code__.co_filename).parent / "images"
NAMES = ["flower", "temple", "cat"]
FIT_SECONDS = 10.0
RESULT = Path(__file__).parent / "results" / "one_lesson.json"


def main() -> None:
    """Measures, prints and writes the result."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rows = list[dict[str, Any]]()
    with tta.load() as model:
        for name in catalogue.names():
            if catalogue.describe(name).teachable:
                rows += [measure(model, name, PICTURES / file) for file in ("flower.jpg", "china.jpg")]
                print(rows[-2], rows[-1], sep="\n")
    RESULT.write_text(json.dumps({"processor": processor(), "rows": rows}, indent=1) + "\n")


def measure(model: tta.Model, strategy: str, picture: Path) -> dict[str, Any]:
    """One strategy and one picture."""
    plain, taught = (model.session(NAMES, strategy) for _ in range(2))
    plain(picture)
    first = taught(picture)
    label = first.top[-1]
    taught.teach(first, label.label)
    without, lesson = plain(picture), taught(picture)
    end = time.monotonic() + FIT_SECONDS
    while strategy == "taught" and lesson.label != label.label and time.monotonic() < end:
        lesson = taught(picture)
    return {
        "strategy": strategy,
        "picture": picture.name,
        "label": label.label,
        "without": round(float(without.scores[label.index]), 3),
        "with": round(float(lesson.scores[label.index]), 3),
        "follows": lesson.label == label.label,
    }


if __name__ == "__main__":
    main()
