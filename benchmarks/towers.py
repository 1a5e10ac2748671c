"""What our own forward passes cost beside open_clip's: CPU seconds, one run, as ratios. Random weights.

    python benchmarks/towers.py [--threads 1] [--classes 100] [--model ViT-B-16] [--rounds 3]

Writes benchmarks/results/towers.json and .md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import open_clip
import torch
from machine import load_average, processor
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
from torch.nn.functional import normalize

from tta_service.clip.image.tower import attend, attend_without_mask
from tta_service.clip.load import load
from tta_service.clip.model import FrozenCLIP
from tta_service.clip.text.prompts import TemplatePrompts
from tta_service.core.labels import LabelSet

RESULTS = Path(__file__).resolve().parent / "results" / "towers.json"
HEAD = """# Our forward passes beside open_clip's

`python benchmarks/towers.py`: medians of CPU seconds over interleaved rounds, {threads} thread(s) of
{cpu}, torch {torch}, load average {load}. Random weights, but for the pocket model. × is how many times faster
than the first line of its group.

| what | way | ms | × |
|---|---|---|---|
"""


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--threads", type=int, default=1)
    ask.add_argument("--classes", type=int, default=100)
    ask.add_argument("--model", default="ViT-B-16")
    ask.add_argument("--rounds", type=int, default=3)
    args = ask.parse_args()
    torch.set_num_threads(args.threads)
    named = FrozenCLIP(open_clip.create_model(args.model), open_clip.get_tokenizer(args.model), name=args.model)
    rows = attention(10 * args.rounds)
    for clip, batches in ((load(device="cpu"), (1, 8, 64)), (named, (1, 8))):
        for count in batches:
            rows += image(clip, count, args.rounds)
    found, off = text(named, args.classes, args.rounds)
    rows += found
    report = {"threads": args.threads, "torch": torch.__version__, "cpu": processor(), "load": load_average()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**report, "rows": rows, "text": off}, indent=1) + "\n")
    lines = [f"| {row['what']} | {row['way']} | {row['ms']:.1f} | {row['times']:.2f} |" for row in rows]
    RESULTS.with_suffix(".md").write_text(HEAD.format(**report) + "\n".join(lines) + f"\n\n{off}\n")


def attention(rounds: int) -> list[dict[str, Any]]:
    """Votes of merged tokens beside plain attention, a ViT-B-16's block at 8 rows."""
    q, k, v = (torch.randn(8, 12, 197, 64) for _ in range(3))
    sizes = torch.randint(1, 4, (8, 197)).float()
    with torch.no_grad():
        ways = {
            "no votes": lambda: attend(q, k, v),
            "votes as a mask (CPU)": lambda: attend(q, k, v, sizes),
            "votes inside the product (elsewhere)": lambda: attend_without_mask(q, k, v, sizes.log()[:, None]),
            "for scale: the matrix of weights written down": lambda: (q @ k.transpose(-1, -2) / 8).softmax(-1) @ v,
        }
        return show("attention, ViT-B-16, 8 rows", ways, rounds)


def image(clip: FrozenCLIP, rows: int, rounds: int) -> list[dict[str, Any]]:
    pixels = torch.randn(rows, 3, clip.image_size, clip.image_size)
    with torch.no_grad():
        ways = {
            "open_clip": lambda: clip.model.encode_image(pixels, normalize=True),
            "ours": lambda: clip.encode_image(pixels),
        }
        return show(f"{clip.name}, {rows} rows", ways, rounds)


def text(clip: FrozenCLIP, classes: int, rounds: int) -> tuple[list[dict[str, Any]], str]:
    """What TPT asks of the text tower: a pull-back and a second forward; the plain way, a forward more and padding.

    And a sentence on memory and agreement.
    """
    names = tuple(dict.fromkeys(IMAGENET_CLASSNAMES))[:classes]
    labels = LabelSet(names)
    tokens = clip.tokenize(labels.prompts(labels.templates[0]))
    prompts = clip.text_space(labels).prompts
    assert isinstance(prompts, TemplatePrompts) and clip.text_tower is not None
    forgetful = TemplatePrompts(clip.text_tower, clip.tokenize, labels, tokens, keep_bytes=0)
    d_features = torch.randn(len(names), clip.dimension)
    gradients = {"kept": prompts.gradient(d_features), "recomputed": forgetful.gradient(d_features)}
    plain = backpropagate_padded(clip.model, tokens, d_features)
    off = {way: ((some - plain).abs().max() / plain.abs().max()).item() for way, some in gradients.items()}
    sentence = f"{len(names)} classes: {prompts.bytes / 1e6:.0f} MB of activations kept; gradients off by "
    sentence += ", ".join(f"{share:.1e} ({way})" for way, share in off.items()) + " of the largest entry."
    with torch.no_grad():
        forwards = {
            "open_clip, padded": lambda: clip.model.encode_text(tokens, normalize=True),
            "ours": lambda: prompts.encode(prompts.context),
        }
        rows = show("text, forward", forwards, rounds)
    both = {
        "open_clip, padded": lambda: backpropagate_padded(clip.model, tokens, d_features),
        "ours, kept (backward alone)": lambda: prompts.gradient(d_features),
        "ours, recomputed": lambda: forgetful.gradient(d_features),
    }
    return rows + show("text, forward and backward", both, rounds), sentence


def backpropagate_padded(model, tokens, d_features):
    """The usual way: every prompt padded to the context, gradients for the words behind the start token."""
    embedded = model.token_embedding(tokens)
    context = embedded[0, 1:5].clone().requires_grad_()
    x = torch.cat([embedded[:, :1], context.expand(len(tokens), -1, -1), embedded[:, 5:]], 1)
    x = model.transformer(x + model.positional_embedding, attn_mask=model.attn_mask)
    ends = model.ln_final(x)[torch.arange(len(tokens)), tokens.argmax(-1)]
    return torch.autograd.grad(normalize(ends @ model.text_projection, dim=-1), context, d_features)[0]


def show(title: str, ways: Mapping[str, Callable[[], object]], rounds: int) -> list[dict[str, Any]]:
    """The median over interleaved rounds, and how many times faster than the first way."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            start = time.process_time()
            run()
            seconds[way].append(time.process_time() - start)
    medians = {way: statistics.median(some) for way, some in seconds.items()}
    first = next(iter(medians.values()))
    rows = [{"what": title, "way": way, "ms": 1e3 * m, "times": first / m} for way, m in medians.items()]
    for row in rows:
        print(f"{row['what']:32} {row['way']:45} {row['ms']:10.1f} ms  x{row['times']:.2f}", flush=True)
    return rows


if __name__ == "__main__":
    main()
