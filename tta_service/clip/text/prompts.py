"""The first template of a label set before the text tower, with the words that prompt tuning changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ...core.errors import BadParameters
from ...core.labels import LabelSet
from ...maths import pull_back
from .packing import Packing, find_own_places, pack
from .tokenize import Tokenize, shorten_name, tokenize_texts
from .tower import TextTower, encode_packed

TOKENS_AT_ONCE = 1024  # without gradients; more is not faster
TOKENS_TO_RECOMPUTE = (
    192  # with gradients, when activations are not stored: 512 is 12 % faster and takes twice the memory
)
FLOATS_KEPT = 9  # activations that a backward pass needs, per token, width and block


class TemplatePrompts:
    """The prompts of all classes; implements `Prompts`.

    A prompt is start, left context, name, right context, full stop, end, as in Shu et al., 2022, arXiv:2209.07511. The
    context is all words of the template, on both sides of the name. At most `keep_bytes` of activations are stored;
    beyond that `gradient` computes them again, some classes at a time. Raises `BadParameters` when there is no context,
    or when the tokenizer merges it with a name.
    """

    def __init__(
        self, tower: TextTower, tokenize: Tokenize, labels: LabelSet, tokens: Tensor, keep_bytes: int = 1 << 30
    ) -> None:
        self._tower, self._tokens, self._keep_bytes = tower, tokens, keep_bytes
        self._lengths = tower.lengths(tokens)  # [c]
        self._word, self._shared, words = _layout(tower, tokenize, labels, tokens, self._lengths)
        with torch.inference_mode(False), torch.no_grad():
            self.context = self._embed(words).cpu()  # [k, w]
        self._lock = threading.Lock()
        self._saved_graph: tuple[Tensor, Tensor] | None = None  # initial context, and features with their graph
        self.kept_bytes = 0  # the size of that graph without weights

    def encode(self, context: Tensor, classes: Tensor | None = None) -> Tensor:
        """Context [k, w] to unit features [c, d], or of the `classes` [m] only; differentiable, pure."""
        if context.shape != self.context.shape:
            raise ValueError(f"a context of shape {tuple(context.shape)} where {tuple(self.context.shape)} is expected")
        rows = torch.arange(len(self._tokens)) if classes is None else classes.cpu()
        graph = torch.is_grad_enabled() and context.requires_grad
        pieces = (rows,) if graph else self._pieces(rows, TOKENS_AT_ONCE)
        return torch.cat([self._encode(context, piece) for piece in pieces]).to(context.device)

    def gradient(self, d_features: Tensor) -> Tensor:
        """Pull a gradient on the features, [c, d], back to the context, [k, w], at the initial context.

        Classes whose row is zero are skipped when they are the majority.
        """
        rows = d_features.ne(0).any(1).nonzero().flatten().cpu()
        with torch.enable_grad():
            if self.bytes <= self._keep_bytes and 2 * self._size(rows) > self._size(torch.arange(len(self._tokens))):
                context, features = self._graph()
                (gradient,) = pull_back(features, [context], d_features.to(features), keep_graph=True)
                return gradient.to(d_features)
            gradient = torch.zeros_like(self.context)
            for piece in self._pieces(rows, TOKENS_TO_RECOMPUTE):
                context = self.context.clone().requires_grad_()
                features = self._encode(context, piece)
                gradient += pull_back(features, [context], d_features[piece].to(features))[0]
        return gradient.to(d_features)

    def forget(self) -> None:
        """Free the stored activations. A backward pass in progress is not affected."""
        with self._lock:
            self._saved_graph, self.kept_bytes = None, 0

    @property
    def bytes(self) -> int:
        """An estimate of the bytes that stored activations take."""
        tokens = self._size(torch.arange(len(self._tokens))) + self._shared
        return 4 * FLOATS_KEPT * tokens * self.context.shape[1] * len(self._tower.blocks)

    def _graph(self) -> tuple[Tensor, Tensor]:
        with self._lock:
            if self._saved_graph is None:
                context = self.context.clone().requires_grad_()
                with count_saved_bytes() as saved:
                    self._saved_graph = context, self._encode(context, torch.arange(len(self._tokens)))
                self.kept_bytes = sum(saved.values())
            return self._saved_graph

    def _encode(self, context: Tensor, rows: Tensor) -> Tensor:
        packing = pack(self._lengths[rows], self._shared)
        ids, word = self._pack(self._tokens[rows], packing, rows), self._pack(self._word[rows], packing, rows)
        fixed = self._embed(ids)  # [t, w]
        source = torch.cat([fixed, context.to(fixed)])
        places = torch.where(word < 0, torch.arange(len(ids)), len(ids) + word)
        return encode_packed(self._tower, source.index_select(0, places.to(fixed.device)), packing)

    def _pack(self, values: Tensor, packing: Packing, rows: Tensor) -> Tensor:
        """The values [m, n] of tokens in the order of the packing, [t]."""
        own, columns = find_own_places(self._lengths[rows], packing)
        return torch.cat([values[0, : packing.shared], values[own, columns]])

    def _embed(self, ids: Tensor) -> Tensor:
        return self._tower.embedding(ids.to(self._tower.embedding.weight.device))

    def _size(self, rows: Tensor) -> int:
        """Tokens of these classes without the shared ones."""
        return int((self._lengths[rows] - self._shared).sum())

    def _pieces(self, rows: Tensor, most: int) -> list[Tensor]:
        """The rows [m] in even pieces of at most about `most` tokens."""
        before = (self._lengths[rows] - self._shared).cumsum(0) - 1
        total = max(1, self._size(rows))
        piece = before * -(-total // most) // total
        return list(rows.split(piece.unique_consecutive(return_counts=True)[1].tolist()))


@contextmanager
def count_saved_bytes() -> Iterator[dict[int, int]]:
    """Bytes by address that graphs built inside save for backward passes, without weights."""
    sizes: dict[int, int] = {}

    def count(saved: Tensor) -> Tensor:
        if not isinstance(saved if saved._base is None else saved._base, nn.Parameter):
            storage = saved.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(count, lambda saved: saved):
        yield sizes


def _layout(
    tower: TextTower, tokenize: Tokenize, labels: LabelSet, tokens: Tensor, lengths: Tensor
) -> tuple[Tensor, int, Tensor]:
    """Of tokens [c, n]: each one's context word (−1: none) [c, n], the number of shared first tokens, the words [k]."""
    template, names = labels.templates[0], labels.names
    before, behind = template.split("{}")
    left, right = _words(tower, tokenize, before), _words(tower, tokenize, behind.rstrip().removesuffix("."))
    if len(left) + len(right) == 0:
        raise BadParameters(f"template {template!r} has no words to tune", "templates[0]")
    tail = len(_words(tower, tokenize, behind)) - len(right) + 1  # the full stop, if any, and the end
    columns = torch.arange(tokens.shape[1])
    from_left, from_right = columns - 1, columns - (lengths[:, None] - tail - len(right))  # [n], [c, n]
    in_left = ((from_left >= 0) & (from_left < len(left))).expand_as(tokens)
    in_right = (from_right >= 0) & (from_right < len(right))
    word = torch.where(in_left, from_left, torch.where(in_right, len(left) + from_right, -1))
    words = torch.cat([left, right])
    apart = ((word < 0) | (tokens == words[word])).all(1)
    if not apart.any():
        raise BadParameters(f"in template {template!r} the name runs into other words", "templates[0]")
    for place in apart.logical_not().nonzero().flatten().tolist():
        problem = f"in template {template!r} label {place} ({shorten_name(names[place])}) runs into other words"
        raise BadParameters(f"{problem}, which tuned prompts keep apart", f"names[{place}]")
    return word, 1 + len(left), words


def _words(tower: TextTower, tokenize: Tokenize, text: str) -> Tensor:
    """The tokens of a text without start and end."""
    tokens, _ = tokenize_texts(tokenize, [text], tower.positions.shape[0])
    return tokens[0, 1 : int(tower.lengths(tokens)[0]) - 1]
