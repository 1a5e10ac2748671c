"""Text maps in float64: `FakeCLIP`'s own, and a small open_clip model run the plain way, every prompt padded, which can
be had in float32 too."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tta_service import LabelSet, TextSpace

Encode = Callable[[Tensor], Tensor]  # context [k, w] -> unit features [c, d], float64


def prompts_in_float64(text: TextSpace) -> tuple[Tensor, Encode]:
    """The context of a `FakeCLIP` text space and its map, in float64."""
    prompts: Any = copy.copy(text.prompts)
    words = copy.copy(prompts.words)
    words.places, words.mix, words.projection = words.places.double(), words.mix.double(), words.projection.double()
    words.embed = lambda names, embed=words.embed: embed(names).double()
    again = type(prompts)(words, prompts.names, prompts.template)
    return again.context, again.encode


def padded_prompts(
    model: Any, tokenizer: Any, labels: LabelSet, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Encode]:
    """Context and map of an open_clip model: start, left words, name, right words, full stop, end, padding; all rows
    through the whole transformer."""
    model = copy.deepcopy(model).to(dtype)
    left, right = labels.templates[0].split("{}")
    stop = words(tokenizer, ".") if right.endswith(".") else []
    before, behind = words(tokenizer, left), words(tokenizer, right.removesuffix("."))
    names = [words(tokenizer, name.replace("_", " ")) for name in labels.names]
    length = model.positional_embedding.shape[0]
    start, end = tokenizer([""])[0, :2].tolist()
    ends = [1 + len(before) + len(name) + len(behind) + len(stop) for name in names]
    context = model.token_embedding(torch.tensor(before + behind)).detach()

    def encode(tuned: Tensor) -> Tensor:
        rows = []
        for name in names:
            own = model.token_embedding(torch.tensor([start, *name, *stop, end] + [0] * length))
            first = own[: 1 + len(name)]
            row = [first[:1], tuned[: len(before)], first[1:], tuned[len(before) :], own[1 + len(name) :]]
            rows.append(torch.cat(row)[:length])
        x = torch.stack(rows) + model.positional_embedding
        x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask))
        x = x[torch.arange(len(rows)), torch.tensor(ends)] @ model.text_projection
        return torch.nn.functional.normalize(x, dim=-1)

    return context, encode


def words(tokenizer: Any, text: str) -> list[int]:
    """Tokens of a text without start, end and padding."""
    row = tokenizer([text])[0].tolist()
    return row[1 : row.index(max(row))]
