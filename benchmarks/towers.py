"""What our own forward passes cost beside open_clip's: CPU seconds, one run, as ratios. Random weights.

python benchmarks/towers.py [--threads 1] [--classes 100] [--model ViT-B-16]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping

import open_clip
import torch
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
from torch.nn.functional import normalize

from tta_service.clip.frozen import FrozenCLIP
from tta_service.clip.load import load
from tta_service.clip.prompts import TemplatePrompts
from tta_service.core.labels import LabelSet


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--threads", type=int, default=1)
    ask.add_argument("--classes", type=int, default=100)
    ask.add_argument("--model", default="ViT-B-16")
    ask.add_argument("--rounds", type=int, default=3)
    asked = ask.parse_args()
    torch.set_num_threads(asked.threads)
    named = FrozenCLIP(open_clip.create_model(asked.model), open_clip.get_tokenizer(asked.model), name=asked.model)
    for clip, batches in ((load(device="cpu"), (1, 8, 64)), (named, (1, 8))):
        for rows in batches:
            image(clip, rows, asked.rounds)
    text(named, asked.classes, asked.rounds)


def image(clip: FrozenCLIP, rows: int, rounds: int) -> None:
    pixels = torch.randn(rows, 3, clip.image_size, clip.image_size)
    with torch.no_grad():
        ways = {
            "open_clip": lambda: clip._model.encode_image(pixels, normalize=True),
            "ours": lambda: clip.encode_image(pixels),
        }
        show(f"{clip.name}, {rows} rows", ways, rounds)


def text(clip: FrozenCLIP, classes: int, rounds: int) -> None:
    """What TPT asks of the text tower: a pull-back and a second forward; the plain way, a forward more and padding."""
    names = tuple(dict.fromkeys(IMAGENET_CLASSNAMES))[:classes]
    labels = LabelSet(names)
    tokens = clip._tokenize(labels.prompts(labels.templates[0]))
    prompts = clip.text_space(labels).prompts
    assert isinstance(prompts, TemplatePrompts) and clip._text is not None
    forgetful = TemplatePrompts(clip._text, clip._tokenize, labels, tokens, keep_bytes=0)
    d_features = torch.randn(len(names), clip.dimension)
    gradients = {"kept": prompts.gradient(d_features), "recomputed": forgetful.gradient(d_features)}
    plain_gradient = padded(clip._model, tokens, d_features)
    for way, gradient in gradients.items():
        off = ((gradient - plain_gradient).abs().max() / plain_gradient.abs().max()).item()
        print(f"  gradient, {way}: off by {off:.1e} of the largest entry")
    print(f"  {len(names)} classes; {prompts.bytes / 1e6:.0f} MB kept")
    with torch.no_grad():
        forwards = {
            "open_clip, padded": lambda: clip._model.encode_text(tokens, normalize=True),
            "ours": lambda: prompts.encode(prompts.context),
        }
        show("text, forward", forwards, rounds)
    show(
        "text, forward and backward",
        {
            "open_clip, padded": lambda: padded(clip._model, tokens, d_features),
            "ours, kept (backward alone)": lambda: prompts.gradient(d_features),
            "ours, recomputed": lambda: forgetful.gradient(d_features),
        },
        rounds,
    )


def padded(model, tokens, d_features):
    """The usual way: every prompt padded to the context, gradients for the words behind the start token."""
    embedded = model.token_embedding(tokens)
    context = embedded[0, 1:5].clone().requires_grad_()
    x = torch.cat([embedded[:, :1], context.expand(len(tokens), -1, -1), embedded[:, 5:]], 1)
    x = model.transformer(x + model.positional_embedding, attn_mask=model.attn_mask)
    ends = model.ln_final(x)[torch.arange(len(tokens)), tokens.argmax(-1)]
    return torch.autograd.grad(normalize(ends @ model.text_projection, dim=-1), context, d_features)[0]


def show(title: str, ways: Mapping[str, Callable[[], object]], rounds: int) -> None:
    """The median over interleaved rounds, and how many times faster than the first way."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            start = time.process_time()
            run()
            seconds[way].append(time.process_time() - start)
    medians = {way: statistics.median(some) for way, some in seconds.items()}
    first = next(iter(medians.values()))
    for way, median in medians.items():
        print(f"{title:32} {way:30} {1e3 * median:10.1f} ms  x{first / median:.2f}", flush=True)


if __name__ == "__main__":
    main()
