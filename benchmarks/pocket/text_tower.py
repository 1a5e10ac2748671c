"""The text tower as a learner: open_clip's transformer over the trained token rows only, its loss, its optimisers."""

from __future__ import annotations

import open_clip
import torch
from muon import Muon
from open_clip.transformer import TextTransformer
from torch import Tensor
from torch.nn import functional as F

CONTEXT, WIDTH, HEADS, LAYERS = 16, 128, 4, 3
TOKENIZER = open_clip.get_tokenizer("ViT-B-32", context_length=CONTEXT)


def tokens_of(texts: list[str]) -> Tensor:
    return TOKENIZER(texts)  # [m, 16] int64


def build(rows: int, features: int) -> TextTransformer:
    """Rows are in token order, so that the end of text stays the highest."""
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


def start_from_teacher(tower: TextTransformer, rows: Tensor, texts: list[str], targets: Tensor) -> None:
    """Begin each word of one token at its target's first principal axes: neighbours in meaning begin as neighbours."""
    tokens = tokens_of(texts)
    single = tokens.argmax(1) == 2  # start, the word, end of text
    axes = torch.linalg.eigh(targets[single].T @ targets[single])[1][:, -WIDTH:]  # [d, w]
    where = torch.searchsorted(rows, tokens[single, 1].contiguous())
    with torch.no_grad():
        coordinates = targets[single] @ axes
        tower.token_embedding.weight[where] = 0.05 * coordinates / coordinates.std()


def start_from_before(
    tower: TextTransformer, rows: Tensor, old: dict[str, Tensor], old_rows: Tensor, texts: list[str], targets: Tensor
) -> None:
    """Go on from an earlier tower's weights `old` over `old_rows`, whichever rows there are now.

    A new word of one token begins where a linear map of its target puts it, fitted on the words that both towers have;
    a piece of words begins at the mean.
    """
    values = old["token_embedding.weight"]
    shared = torch.isin(rows, old_rows)
    embedding = values.mean(0).repeat(len(rows), 1)
    embedding[shared] = values[torch.searchsorted(old_rows, rows[shared])]
    tokens = tokens_of(texts)
    single = tokens.argmax(1) == 2
    where, aims = torch.searchsorted(rows, tokens[single, 1].contiguous()), targets[single]
    known = shared[where]
    fitted = torch.linalg.lstsq(aims[known], embedding[where[known]]).solution
    embedding[where[~known]] = aims[~known] @ fitted
    tower.load_state_dict(old | {"token_embedding.weight": embedding})


def agree(features: Tensor, targets: Tensor) -> Tensor:
    """Near its own target, and nearer to it than to those of the other texts of the batch."""
    cosines = features @ targets.T
    same = (targets @ targets.T > 0.98) & ~torch.eye(len(targets), dtype=torch.bool)
    against = F.cross_entropy((20 * cosines).masked_fill(same, -1e4), torch.arange(len(targets)))
    return 4 * (1 - cosines.diagonal().mean()) + against


def optimisers(tower: TextTransformer, lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, AdamW for the embeddings and everything else."""
    named = dict(tower.named_parameters())
    matrix = [n for n, p in named.items() if p.ndim > 1 and "embedding" not in n]
    rest = [p for n, p in named.items() if n not in matrix]
    adam = torch.optim.AdamW(rest, lr, (0.9, 0.98), weight_decay=0)
    return [Muon([named[n] for n in matrix], lr), adam]
