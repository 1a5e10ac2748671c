"""What the text tower reads: the tokens worth a row, the texts made of them alone, batches in varied templates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from text_tower import TOKENIZER, tokens_of
from torch import Tensor
from words import KEPT_FROM_BOTH, TEMPLATES

from tta_service.clip.text.tokenize import split_words, word_key

SHARES = {"word": 0.3, "noun": 0.27, "phrase": 0.1, "caption": 0.08, "name": 0.25}  # of each batch; captions are long
SETS = ("tiny_imagenet", "cifar10")


def token_rows(needed: Sequence[str], words: Sequence[str], nouns: Sequence[str], most: int) -> Tensor:
    """The `most` token ids that get an embedding [r], sorted.

    Padding and every token of the texts `needed`; then words that are one token, nouns before other words; then the
    pieces of two letters and more that the most of the other nouns need (with single letters nothing would be unseen).
    """
    rows = {0, *tokens_of(list(needed)).flatten().tolist()}
    pieces = {word: TOKENIZER.encode(word) for noun in nouns for word in noun.split()}
    whole = [ids[0] for ids in pieces.values() if len(ids) == 1]
    whole += [ids[0] for ids in map(TOKENIZER.encode, words) if len(ids) == 1]
    counts = Counter(token for ids in pieces.values() for token in set(ids) if len(ids) > 1)
    counts = {token: n for token, n in counts.items() if len(TOKENIZER.decoder[token].removesuffix("</w>")) > 1}
    parts = sorted(counts, key=lambda token: (-counts[token], token))
    for token in (*whole, *parts):
        if len(rows) < most:
            rows.add(token)
    return torch.tensor(sorted(rows))


def lessons(taught: dict, most: int) -> tuple[Tensor, dict[str, list[str]], dict[str, Tensor]]:
    """The token rows [r], the texts and their targets by kind. Phrases kept for the examination are left out."""
    names = [name for part in SETS for name in taught[part]["names"]]
    targets = {"name": torch.cat([taught[part]["targets"] for part in SETS])}
    texts = {"name": names} | {kind: taught[f"{kind}s"] for kind in SHARES if kind != "name"}
    ordinary = [word for word, common in zip(texts["word"], taught["common"], strict=True) if common]
    rows = token_rows([*names, *texts["caption"], *TEMPLATES], ordinary, texts["noun"], most)
    spoken = {name.lower() for name in names}
    for kind in (kind for kind in SHARES if kind != "name"):
        known = torch.isin(tokens_of(texts[kind]), rows).all(1).tolist()
        right = [k and t.lower() not in spoken and not any(secret in t.lower() for secret in KEPT_FROM_BOTH)
                 for k, t in zip(known, texts[kind], strict=True)]  # fmt: skip
        texts[kind] = [text for text, keep in zip(texts[kind], right, strict=True) if keep]
        targets[kind] = taught[kind][torch.tensor(right)]
    return rows, texts, targets


def word_keys(texts: Iterable[str], rows: Tensor) -> Tensor:
    """What the service must know of the words [n] of several tokens, all among rows [r], that stand in the texts."""
    words = {word for text in texts for word in split_words(text.lower())}
    several = [tokens for tokens in map(TOKENIZER.encode, sorted(words)) if len(tokens) > 1]
    trained = set(rows.tolist())
    return torch.tensor(sorted({word_key(tokens) for tokens in several if trained.issuperset(tokens)}))


def draw_batch(texts: dict[str, list[str]], size: int, draw: np.random.Generator) -> tuple[dict, dict]:
    """Rows by kind, frequent words (they come first) a little more often, and their texts in varied templates."""
    rows, templated = {}, {}
    for kind, share in SHARES.items():
        odds = 1 / np.sqrt(np.arange(len(texts[kind])) + 500) if kind == "word" else np.ones(len(texts[kind]))
        rows[kind] = draw.choice(len(odds), round(share * size), p=odds / odds.sum())
        templated[kind] = [texts[kind][row] for row in rows[kind]]
        if kind in ("word", "noun", "name"):
            templated[kind] = [str(draw.choice(TEMPLATES)).replace("{}", text) for text in templated[kind]]
    return rows, templated
