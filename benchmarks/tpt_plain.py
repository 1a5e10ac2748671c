"""TPT as it is usually written: every prompt padded to the tower's context, forward, backward, AdamW, forward.

Shu et al., NeurIPS 2022, arXiv:2209.07511; the name stands at the end of the template. The loss is taken in float64, as
ours is: at scale 100 its slope is a small difference, and the two should differ by the tower alone.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize


@dataclass(frozen=True)
class PlainAnswer:
    """What came out, and the CPU seconds that count."""

    logits: Tensor  # [c]
    gradient: Tensor  # [k, w]
    seconds: float


class PlainTPT:
    """Over open_clip's own text tower, frozen, with its own attention (SDPA).

    `at_once` classes go through the tower at a time. When that is fewer than all, the loss needs a first pass without
    gradients, which memory alone makes necessary: it is not counted. What is counted is what a machine with enough
    memory does: forward, backward, step, forward.
    """

    def __init__(self, model: Any, tokens: Tensor, words: int, at_once: int = 100) -> None:
        self.model, self.tokens, self.at_once = model, tokens, at_once
        with torch.no_grad():
            self.embedded = model.token_embedding(tokens)  # [c, 77, w], of every label set, before any image
            self.initial = self.embedded[0, 1 : 1 + words].clone()  # [k, w]
        self.scale = float(model.logit_scale.detach().exp())

    def answer(self, views: Tensor) -> PlainAnswer:
        """One image [v, d]."""
        uncounted = 0.0
        context = self.initial.clone().requires_grad_()
        optimizer = torch.optim.AdamW([context], lr=5e-3)
        began = time.process_time()
        if len(self.tokens) <= self.at_once:
            self.loss(views, self.features(context, slice(None))).backward()
        else:
            start = time.process_time()
            features = self.all_features(context).requires_grad_()
            uncounted = time.process_time() - start
            (pull,) = torch.autograd.grad(self.loss(views, features), features)
            for i in range(0, len(self.tokens), self.at_once):
                some = slice(i, i + self.at_once)
                self.features(context, some).backward(pull[some])
        optimizer.step()
        logits = self.scale * self.all_features(context) @ views[0]
        assert context.grad is not None
        return PlainAnswer(logits, context.grad, time.process_time() - began - uncounted)

    def loss(self, views: Tensor, features: Tensor) -> Tensor:
        """Entropy of the mean probability of the tenth of the views that are surest at the initial context."""
        log_p = (self.scale * views.double() @ features.double().T).log_softmax(-1)  # [v, c]
        entropies = -(log_p.exp() * log_p).sum(-1)
        sure = entropies.argsort(stable=True)[: max(1, int(0.1 * len(views)))]
        mean = log_p[sure].logsumexp(0) - math.log(len(sure))
        return -(mean.exp() * mean).sum()

    def features(self, context: Tensor, some: slice) -> Tensor:
        """Unit text features of `some` classes."""
        model, embedded, tokens = self.model, self.embedded[some], self.tokens[some]
        shared = context.expand(len(tokens), -1, -1)
        x = torch.cat([embedded[:, :1], shared, embedded[:, 1 + len(context) :]], 1)
        x = model.transformer(x + model.positional_embedding, attn_mask=model.attn_mask)
        ends = model.ln_final(x)[torch.arange(len(tokens)), tokens.argmax(-1)]
        return normalize(ends @ model.text_projection, dim=-1)

    @torch.no_grad()
    def all_features(self, context: Tensor) -> Tensor:
        return torch.cat(
            [self.features(context, slice(i, i + self.at_once)) for i in range(0, len(self.tokens), self.at_once)]
        )
