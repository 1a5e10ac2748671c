from __future__ import annotations

import numpy as np
import pytest
import torch

from tta_service import Evidence, LabelSet
from tta_service.core.memory import fill, nbytes, tensors
from tta_service.maths import unit
from tta_service.strategies.swap_prompt import SwapPrompt, take_batch
from tta_service.testing import FakeCLIP

from .prompts64 import prompts_in_float64
from .streams import Margin, rounding_error

NAMES = ("cat", "red_car", "photocopier", "great white shark", "tram")


def frames(text, rows: int, count: int, seed: int = 0) -> list[Evidence]:
    draw = torch.Generator().manual_seed(seed)
    made = []
    for i in range(count):
        plain = text.features[i % len(text.features)] + 0.08 * torch.randn(64, generator=draw)
        made.append(Evidence(unit(plain + 0.03 * torch.rand(rows, 1) * torch.randn(rows, 64, generator=draw)), text))
    return made


def derivation(o: SwapPrompt, text, images: list[Evidence], margin: Margin):
    """The formula in float64, the bank as lists, Adam by torch."""
    context, encode = prompts_in_float64(text)
    online, target, t = torch.nn.Parameter(context.clone()), context.clone(), text.features.double()
    optimiser = torch.optim.Adam([online], lr=o.learning_rate)
    classes, s = len(t), text.scale
    bank = [[None] * o.capacity for _ in range(classes)]  # (log probability, feature)
    cursor = 0
    for seen_before, image in enumerate(images):
        views = image.views.double()
        f = [views[i] if i < len(views) else views[0] for i in range(3)]
        p0 = (s * t @ f[0]).log_softmax(-1).numpy()
        k = margin.argmax(p0)
        tuned = encode(target)
        yield (s * (t if seen_before < o.warmup else tuned) @ f[0]).numpy()
        levels = [-np.inf if item is None else item[0] for item in bank[k]]
        slot = margin.argmax(-np.array(levels))
        if margin.less(levels[slot], p0[k]):
            bank[k][slot] = (p0[k], f[0].half().double())
        if seen_before + 1 < o.warmup:
            continue
        slots = [(c, item) for c in range(classes) for item in bank[c]]
        turn = [(cursor + i) % len(slots) for i in range(len(slots))]
        chosen = [i for i in turn if slots[i][1] is not None][: o.batch]
        cursor = (chosen[-1] + 1) % len(slots)
        now = encode(online)
        q = [(s * tuned @ f[a]).softmax(-1) for a in (1, 2)]
        ell = [(s * now @ f[a]).log_softmax(-1) for a in (1, 2)]
        loss = -0.5 * (q[0] @ ell[1] + q[1] @ ell[0])
        for i in chosen:
            label, (_, feature) = slots[i]
            loss = loss - (s * now @ feature).log_softmax(-1)[label] / len(chosen)
        online.grad = torch.autograd.grad(loss, online)[0]
        optimiser.step()
        with torch.no_grad():
            online.clamp_(context - 0.05, context + 0.05)
            target = o.momentum * target + (1 - o.momentum) * online.detach()


CASES = [
    (5, 3, SwapPrompt()),
    (5, 3, SwapPrompt(momentum=0.5, learning_rate=5e-3, warmup=4, capacity=2, batch=5)),
    (5, 1, SwapPrompt(momentum=0.9, warmup=0, capacity=3)),
    (2, 2, SwapPrompt(momentum=0.9, warmup=30, batch=1)),
    pytest.param(1000, 3, SwapPrompt(momentum=0.9, capacity=1, batch=4), marks=pytest.mark.large),
]


@pytest.mark.parametrize("classes, rows, strategy", CASES)
def test_equals_the_formula(classes, rows, strategy):
    names = NAMES[:classes] if classes <= len(NAMES) else tuple(f"thing number {i}" for i in range(classes))
    # a small scale, for doubtful images: where p rounds to 1, Adam divides noise by noise
    text = FakeCLIP(scale=10.0).text_space(LabelSet(names))
    for seed in range(10):
        images, margin = frames(text, rows, 200, seed), Margin()
        expected = np.stack(list(derivation(strategy, text, images, margin)))
        if margin.smallest >= 2 * rounding_error(text):
            break
    else:
        raise AssertionError("no seed keeps its decisions apart")
    memory, got = strategy.begin(text), []
    for seen in images:
        logits, memory = strategy.adapt(seen, memory)
        got.append(logits.numpy())
    np.testing.assert_allclose(np.stack(got), expected, atol=1e-3)
    drift = float((memory.target - text.prompts.context).abs().max())
    assert 1e-3 < drift < 0.0501 and int(memory.seen) == 200


def test_of_one_class_nothing_is_learned():
    text, strategy = FakeCLIP().text_space(LabelSet(("cat",))), SwapPrompt(warmup=0)
    memory = strategy.begin(text)
    for seen in frames(text, 3, 20):
        logits, memory = strategy.adapt(seen, memory)
        torch.testing.assert_close(logits, seen.logits()[0], atol=1e-4, rtol=0)
    assert torch.equal(memory.online, text.prompts.context)


def test_a_prompts_change_is_bounded():
    text, strategy = FakeCLIP().text_space(LabelSet(NAMES)), SwapPrompt(learning_rate=1.0, warmup=1, momentum=0.0)
    memory = strategy.begin(text)
    for seen in frames(text, 7, 20):
        logits, memory = strategy.adapt(seen, memory)
        assert logits.isfinite().all()
    assert float((memory.online - text.prompts.context).abs().max()) == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize("still", [SwapPrompt(learning_rate=0.0), SwapPrompt(momentum=1.0)])
def test_without_a_step_or_with_a_still_target_it_is_zero_shot(still):
    text = FakeCLIP().text_space(LabelSet(NAMES))
    memory = still.begin(text)
    for seen in frames(text, 3, 40):
        logits, memory = still.adapt(seen, memory)
        torch.testing.assert_close(logits, seen.logits()[0], atol=1e-4, rtol=0)
    # 0.99 and 0.01 of the same number round to it, or next to it
    torch.testing.assert_close(memory.target, text.prompts.context, rtol=1e-5, atol=0)


def test_the_batch_goes_round_the_filled_slots():
    text = FakeCLIP().text_space(LabelSet(NAMES))
    memory = SwapPrompt(capacity=2).begin(text)
    for place in (0, 3, 4, 9):
        memory.confidence.view(-1)[place] = 0.5
        memory.bank.view(-1, 64)[place] = place
    seen = []
    for _ in range(3):
        rows, labels = take_batch(memory, 3)
        seen.append((rows[:, 0].int().tolist(), labels.tolist(), int(memory.cursor)))
    assert seen == [([0, 3, 4], [0, 1, 2], 5), ([9, 0, 3], [4, 0, 1], 4), ([4, 9, 0], [2, 4, 0], 1)]
    assert len(take_batch(memory, 100)[0]) == 4, "each at most once"


def test_snapshot_restores_bit_for_bit():
    text, strategy = FakeCLIP().text_space(LabelSet(NAMES)), SwapPrompt(warmup=5)
    images, memory = frames(text, 3, 60), strategy.begin(text)
    for seen in images[:30]:
        _, memory = strategy.adapt(seen, memory)
    restored = fill(strategy.begin(text), {name: tensor.clone() for name, tensor in tensors(memory).items()})
    for seen in images[30:]:
        one, memory = strategy.adapt(seen, memory)
        two, restored = strategy.adapt(seen, restored)
        assert torch.equal(one, two)


def test_bytes():
    text = FakeCLIP().text_space(LabelSet(NAMES))
    assert nbytes(SwapPrompt().begin(text)) == 4 * 4 * 4 * 64 + 3 * 8 + 5 * 16 * (2 * 64 + 4)
