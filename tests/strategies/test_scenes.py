"""Each kind of scene has its memory: another scene begins when the world changes, and not before."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from tta_service.core.evidence import Evidence
from tta_service.core.labels import TextSpace
from tta_service.strategies import catalogue

C, D = 5, 64


def space() -> TextSpace:
    return TextSpace.of(normalize(torch.randn(C, D, generator=torch.Generator().manual_seed(0)), dim=-1), 50.0)


def world(text: TextSpace, offset: torch.Tensor, seed: int, count: int) -> list[Evidence]:
    """Noisy pictures of all classes, all shifted alike."""
    draw = torch.Generator().manual_seed(seed)
    features = text.features[torch.randint(C, (count,), generator=draw)] + offset
    features = features + 0.5 * normalize(torch.randn(count, D, generator=draw), dim=-1)
    return [Evidence(one[None], text) for one in normalize(features, dim=-1)]


def play(frames: list[Evidence], **parameters: object) -> tuple[list[torch.Tensor], list[int], object]:
    strategy = catalogue.build("scenes", parameters)
    memory, answers, places = strategy.begin(frames[0].text), [], []
    for seen in frames:
        logits, memory = strategy.adapt(seen, memory)
        answers.append(logits.clone())
        places.append(int(strategy.explain(seen, memory)["scene"]))
    return answers, places, memory


def shifts() -> tuple[TextSpace, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(7)
    return space(), *(0.8 * normalize(torch.randn(D, generator=draw), dim=-1) for _ in range(2))


def test_a_world_that_does_not_change_is_answered_as_without_scenes():
    text, day, _ = shifts()
    frames = world(text, day, 1, 300)
    answers, places, _ = play(frames)
    tda = catalogue.build("tda", {})
    memory = tda.begin(text)
    for seen, found in zip(frames, answers, strict=True):
        logits, memory = tda.adapt(seen, memory)
        assert torch.equal(logits, found)
    assert set(places) == {0}


def test_two_worlds_that_alternate_have_a_memory_each():
    text, day, night = shifts()
    blocks = [world(text, (day, night)[i % 2], i, 100) for i in range(6)]
    _, places, _ = play([seen for block in blocks for seen in block])
    settled = torch.tensor(places).view(6, 100)[:, 20:].float()  # the style follows within some frames
    assert [round(float(one), 1) for one in settled.mean(1)] == [0, 1, 0, 1, 0, 1]


def test_there_are_no_more_scenes_than_were_allowed():
    text, day, night = shifts()
    third = torch.roll(day, 11)
    blocks = [world(text, offset, i, 150) for i, offset in enumerate((day, night, third))]
    frames = [seen for block in blocks for seen in block]
    assert set(play(frames, count=2)[1]) == {0, 1}
    assert set(play(frames, count=3)[1]) == {0, 1, 2}


def test_every_scene_learns_a_lesson():
    text, day, night = shifts()
    strategy = catalogue.build("scenes", {"of": "tda"})
    _, _, memory = play([*world(text, day, 0, 100), *world(text, night, 1, 100)])
    lesson = world(text, night, 2, 1)[0]
    taught = strategy.teach(lesson, 3, memory)
    for one in (taught.first, taught.second):
        assert torch.allclose(one.keys[3, 0], lesson.views[0], atol=1e-6)
