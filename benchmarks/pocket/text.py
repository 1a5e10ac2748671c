"""The text tower learns to reproduce the sentence encoder's space for ordinary words, phrases, captions and the names.

Only `--rows` tokens get an embedding (lessons.py says which); the tower trains on those rows alone, which is faster and
keeps the shipped file small. Run teach.py before it.
"""

from __future__ import annotations

import argparse
import math
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from lessons import SETS, SHARES, draw_batch, lessons, word_keys
from open_clip.transformer import TextTransformer
from text_tower import agree, build, optimisers, place, start_from_before, start_from_teacher, tokens_of
from torch import Tensor
from tqdm import tqdm
from words import TEMPLATE


@torch.no_grad()
def classes(tower: TextTransformer, rows: Tensor, taught: dict) -> dict[str, Tensor]:
    """Where the tower puts each name of the sets in the usual template [c, d]: what the image tower aims at last."""
    tower.eval()
    sentences = {part: [TEMPLATE.format(name) for name in taught[part]["names"]] for part in SETS}
    return {part: place(tower, rows, tokens_of(texts)) for part, texts in sentences.items()}


def options() -> argparse.Namespace:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--run", type=Path, required=True, help="folder with targets.pt; text.pt goes there")
    ask.add_argument("--rows", type=int, default=22_600, help="token embeddings to train and ship")
    ask.add_argument("--steps", type=int, default=1500)
    ask.add_argument("--batch", type=int, default=512)
    ask.add_argument("--lr", type=float, default=3e-3)
    ask.add_argument("--threads", type=int, default=1)
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--go-on", action="store_true", help="from text.pt, with the names held where they are")
    return ask.parse_args()


def main() -> None:
    args = options()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    draw = np.random.default_rng(args.seed)
    taught = torch.load(args.run / "targets.pt")
    rows, texts, targets = lessons(taught, args.rows)
    words = word_keys(chain.from_iterable(texts.values()), rows)
    tower = build(len(rows), targets["name"].shape[1])
    if args.go_on:
        old = torch.load(args.run / "text.pt")
        start_from_before(tower, rows, old["tower"], old["rows"], texts["word"], targets["word"])
        aimed = old.get("aimed", old["classes"])  # an image tower may aim there by now
        targets["name"] = torch.cat([aimed[part] for part in SETS])
    else:
        start_from_teacher(tower, rows, texts["word"], targets["word"])
    steps = optimisers(tower, args.lr)
    kinds = (*(kind for kind in SHARES if kind != "caption"), "caption")  # captions last: they are longer
    for step in tqdm(range(args.steps), unit="step", mininterval=20):
        for group in (group for optimiser in steps for group in optimiser.param_groups):
            cosine = 0.5 + 0.5 * math.cos(math.pi * step / args.steps)
            group["lr"] = args.lr * min(1, (step + 1) / 100) * cosine
        picked, sentences = draw_batch(texts, args.batch, draw)
        short = [text for kind in kinds[:-1] for text in sentences[kind]]
        features = torch.cat([place(tower, rows, tokens_of(part)) for part in (short, sentences["caption"])])
        aims = torch.cat([targets[kind][picked[kind]] for kind in kinds])
        loss = agree(features, aims)
        loss.backward()
        for optimiser in steps:
            optimiser.step()
            optimiser.zero_grad()
        if (step + 1) % 100 == 0 or step + 1 == args.steps:
            cosines = (features * aims).sum(1).split([len(picked[kind]) for kind in kinds])
            means = {kind: round(part.mean().item(), 3) for kind, part in zip(kinds, cosines, strict=True)}
            print(step + 1, round(loss.item(), 3), "cosines to the targets:", means, flush=True)
            now = classes(tower, rows, taught)
            kept = {"tower": tower.state_dict(), "rows": rows, "words": words, "classes": now}
            torch.save(kept | ({"aimed": aimed} if args.go_on else {}), args.run / "text.pt")
            tower.train()


if __name__ == "__main__":
    main()
