"""The text tower learns to reproduce the sentence encoder's space for ordinary words, phrases, captions and the names.

Only `--rows` tokens get an embedding (whole frequent words and whatever names and captions use); the tower trains on
those rows alone, which is faster and keeps the shipped file small. Run teach.py before it.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import open_clip
import torch
from muon import Muon
from open_clip.transformer import TextTransformer
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm
from words import KEPT_FROM_BOTH, TEMPLATE, TEMPLATES

CONTEXT, WIDTH, HEADS, LAYERS = 16, 128, 4, 3
SHARES = {"word": 0.5, "phrase": 0.15, "caption": 0.1, "name": 0.25}  # of each batch
SETS = ("tiny_imagenet", "cifar10")
TOKENIZER = open_clip.get_tokenizer("ViT-B-32", context_length=CONTEXT)


def tokens_of(texts: list[str]) -> Tensor:
    return TOKENIZER(texts)  # [m, 16] int64


def build(rows: int, features: int) -> TextTransformer:
    """open_clip's text tower over the trained rows only. Rows are in token order, so end of text stays the highest."""
    return TextTransformer(CONTEXT, rows, width=WIDTH, heads=HEADS, layers=LAYERS, output_dim=features)


def place(tower: TextTransformer, rows: Tensor, tokens: Tensor) -> Tensor:
    """Token ids [m, 16], all among rows [r], to unit features [m, d]; padding beyond the longest is left off."""
    longest = int((tokens.argmax(1) + 1).max())
    causal = tower.attn_mask  # open_clip does not cut it to a shorter text
    tower.attn_mask = causal[:longest, :longest]
    with torch.autocast(tokens.device.type, torch.bfloat16):
        features = tower(torch.searchsorted(rows, tokens[:, :longest].contiguous()))
    tower.attn_mask = causal
    return F.normalize(features.float(), dim=-1)


def lessons(taught: dict, most: int) -> tuple[Tensor, dict[str, list[str]], dict[str, Tensor]]:
    """The token rows [r], the texts and their targets by kind. Phrases kept for the examination are left out."""
    names = [name for part in SETS for name in taught[part]["names"]]
    targets = {"name": torch.cat([taught[part]["targets"] for part in SETS])}
    texts = {"name": names, "caption": taught["captions"], "phrase": taught["phrases"], "word": taught["words"]}
    needed = {0, *tokens_of([*names, *taught["captions"], *TEMPLATES]).flatten().tolist()}
    single = tokens_of(taught["words"])[:, 1].tolist()
    for token in single:
        if len(needed) >= most:
            break
        needed.add(token)
    rows = torch.tensor(sorted(needed))
    spoken = {name.lower() for name in names}
    for kind in ("word", "phrase", "caption"):
        tokens = tokens_of(texts[kind])
        known = torch.isin(tokens, rows).all(1).tolist()
        right = [k and t.lower() not in spoken and not any(secret in t.lower() for secret in KEPT_FROM_BOTH)
                 for k, t in zip(known, texts[kind], strict=True)]  # fmt: skip
        texts[kind] = [text for text, keep in zip(texts[kind], right, strict=True) if keep]
        targets[kind] = taught[kind][torch.tensor(right)]
    return rows, texts, targets


def start_from_teacher(tower: TextTransformer, rows: Tensor, texts: list[str], targets: Tensor) -> None:
    """Begin each whole word at its target's first principal axes: neighbours in meaning begin as neighbours."""
    axes = torch.linalg.eigh(targets.T @ targets)[1][:, -WIDTH:]  # [d, w]
    where = torch.searchsorted(rows, tokens_of(texts)[:, 1].contiguous())
    with torch.no_grad():
        coordinates = targets @ axes
        tower.token_embedding.weight[where] = 0.05 * coordinates / coordinates.std()


def agree(features: Tensor, targets: Tensor) -> Tensor:
    """Near its own target, and nearer to it than to those of the other texts of the batch."""
    cosines = features @ targets.T
    same = (targets @ targets.T > 0.98) & ~torch.eye(len(targets), dtype=torch.bool)
    against = F.cross_entropy((20 * cosines).masked_fill(same, -1e4), torch.arange(len(targets)))
    return 4 * (1 - cosines.diagonal().mean()) + against


@torch.no_grad()
def classes(tower: TextTransformer, rows: Tensor, taught: dict) -> dict[str, Tensor]:
    """Where the tower puts each name of the sets in the usual template [c, d]: what the image tower aims at last."""
    tower.eval()
    said = {part: [TEMPLATE.format(name) for name in taught[part]["names"]] for part in SETS}
    return {part: place(tower, rows, tokens_of(texts)) for part, texts in said.items()}


def options() -> argparse.Namespace:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--run", type=Path, required=True, help="folder with targets.pt; text.pt goes there")
    ask.add_argument("--rows", type=int, default=21_000, help="token embeddings to train and ship")
    ask.add_argument("--steps", type=int, default=1500)
    ask.add_argument("--batch", type=int, default=512)
    ask.add_argument("--lr", type=float, default=3e-3)
    ask.add_argument("--threads", type=int, default=1)
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--go-on", action="store_true", help="from text.pt, with the names held where they are")
    return ask.parse_args()


def optimisers(tower: TextTransformer, lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, AdamW for the embeddings and everything else."""
    named = dict(tower.named_parameters())
    matrix = [n for n, p in named.items() if p.ndim > 1 and "embedding" not in n]
    rest = [p for n, p in named.items() if n not in matrix]
    adam = torch.optim.AdamW(rest, lr, (0.9, 0.98), weight_decay=0)
    return [Muon([named[n] for n in matrix], lr), adam]


def draw_batch(texts: dict[str, list[str]], size: int, draw: np.random.Generator) -> tuple[dict, dict]:
    """Rows by kind, frequent words (they come first) a little more often, and their texts in varied templates."""
    rows, said = {}, {}
    for kind, share in SHARES.items():
        odds = 1 / np.sqrt(np.arange(len(texts[kind])) + 500) if kind == "word" else np.ones(len(texts[kind]))
        rows[kind] = draw.choice(len(odds), round(share * size), p=odds / odds.sum())
        said[kind] = [texts[kind][row] for row in rows[kind]]
        if kind in ("word", "name"):
            said[kind] = [str(draw.choice(TEMPLATES)).replace("{}", text) for text in said[kind]]
    return rows, said


def main() -> None:
    args = options()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    draw = np.random.default_rng(args.seed)
    taught = torch.load(args.run / "targets.pt")
    rows, texts, targets = lessons(taught, args.rows)
    tower = build(len(rows), targets["name"].shape[1])
    if args.go_on:
        old = torch.load(args.run / "text.pt")
        tower.load_state_dict(old["tower"])
        targets["name"] = torch.cat([old["classes"][part] for part in SETS])  # an image tower may aim there by now
    else:
        start_from_teacher(tower, rows, texts["word"], targets["word"])
    steps = optimisers(tower, args.lr)
    kinds = ("word", "phrase", "name", "caption")  # captions last: they are longer
    for step in tqdm(range(args.steps), unit="step", mininterval=20):
        for group in (group for optimiser in steps for group in optimiser.param_groups):
            cosine = 0.5 + 0.5 * math.cos(math.pi * step / args.steps)
            group["lr"] = args.lr * min(1, (step + 1) / 100) * cosine
        picked, said = draw_batch(texts, args.batch, draw)
        short = [text for kind in kinds[:-1] for text in said[kind]]
        features = torch.cat([place(tower, rows, tokens_of(part)) for part in (short, said["caption"])])
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
            torch.save({"tower": tower.state_dict(), "rows": rows, "classes": now}, args.run / "text.pt")
            tower.train()


if __name__ == "__main__":
    main()
