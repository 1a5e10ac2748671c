"""Names, fields, defaults, bounds, memory and gradient of every strategy, which requests and settings rely on."""

from __future__ import annotations

import pytest

from tta_service.core.errors import BadParameters
from tta_service.strategies import catalogue
from tta_service.testing.scenes import begin, frames, stream, text_space

SEVERAL = {"views": 64, "confident": 0.1, "augment": "crop"}
ALONE = {**SEVERAL, "views": 1}
TUNED = {**SEVERAL, "steps": 1, "learning_rate": 5e-3, "weight_decay": 0.01}
CACHES = {"alpha": 2.0, "beta": 5.0, "capacity": 3, "negative": True, "negative_alpha": 0.117, "negative_beta": 1.0}
CACHES |= {"negative_capacity": 2, "entropy_low": 0.2, "entropy_high": 0.5, "mask_low": 0.03, "mask_high": 1.0}
MOVING = {"lambda_affinity": 4.0, "lambda_entropy": 0.2, "rounds": 5, "tolerance": 1e-6}
GAUSSIANS = {"sigma": 0.002, "epsilon": 1e-4, "eta": 0.2, "rho": 0.005, "rows": 16, "lesson_weight": 10.0}
BATCHED = {"window": 64, "alpha": 1.0, "neighbours": 3, "temperature": 50.0, "iterations": 11}
SWAPPED = {"views": 3, "augment": "crop", "momentum": 0.99, "learning_rate": 5e-4, "capacity": 16, "warmup": 16}
CUT = {"copies": 8, "p_cutout": 0.5, "p_cutmix": 0.5, "span": 0.3, "protect_names": True}
CONTRACT = {  # fields, memory, gradient
    "zero_shot": ({}, "request", False),
    "mean": ({**SEVERAL, "confident": 0.3, "agreement": 1.0}, "request", False),
    "rtpt": (
        {**SEVERAL, "confident": 0.3, "neighbours": 20, "temperature": 0.01, "compat": False},
        "request",
        False,
    ),
    "zero": ({"views": 64, "keep": 0.3, "augment": "crop", "agreement": 1.0, "compat": False}, "request", False),
    "mta": ({"views": 64, "augment": "crop", **MOVING}, "request", False),
    "tpt": (TUNED, "request", True),
    "c_tpt": ({**TUNED, "dispersion": 50.0}, "request", True),
    "tda": ({**ALONE, **CACHES}, "session", False),
    "boost_adapter": ({**SEVERAL, **CACHES, "extra": 1, "summary": "confident", "compat": False}, "session", False),
    "oga": ({"capacity": 8, "tau": 0.05, "compat": False}, "session", False),
    "dota": ({**ALONE, **GAUSSIANS}, "session", False),
    "adapt": ({**ALONE, "capacity": 16, "alpha": 0.9, "kappa": 60.0, "compat": False}, "session", False),
    "stata": (BATCHED, "session", False),
    "dmn": ({**ALONE, "slots": 50, "beta": 5.5, "weight": 1.0}, "session", False),
    "scenes": ({"of": "tda", "count": 2, "apart": 2.0}, "session", False),
    "self_tpt": ({"steps": 10, "learning_rate": 5e-3, "temperature": 0.07}, "labels", False),
    "swap_prompt": ({**SWAPPED, "batch": 32}, "session", True),
    "vb_weights": ({"prior": 1.0, "iterations": 50, "window": 64, "warmup": 16}, "session", False),
    "cutmixout": (CUT, "labels", False),
    "tip_adapter": ({"alpha": 1.17, "beta": 1.0, "capacity": 16, "compat": False}, "session", False),
    "gda": ({"alpha": 1.0, "compat": False}, "session", False),
    "taught": ({**ALONE, "capacity": 16}, "session", False),
}
ALLOWED = {  # the ends that must be taken, and what lies just outside
    "views": ((1, 512), (0, 513)),
    "confident": ((1e-6, 1.0), (0.0, 1.001)),
    "keep": ((1e-6, 1.0), (0.0, 1.001)),
    "agreement": ((0.5, 1.0), (0.499, 1.001)),
    "capacity": ((1,), (0,)),
    "negative_capacity": ((1,), (0,)),
    "extra": ((0,), (-1,)),
    "lambda_entropy": ((1e-6,), (0.0,)),
    "kappa": ((1e-6,), (0.0,)),
    "temperature": ((1e-3,), (0.0,)),
    "sigma": ((1e-6,), (0.0,)),
    "prior": ((1e-6,), (0.0,)),
    "epsilon": ((1e-9, 1.0), (0.0, 1.001)),
    "steps": ((0, 10), (-1,)),
    "window": ((4, 2500), (3, 2501)),
    "weight": ((0.0, 1e9), (-1e-9, 1.1e9)),
}
FROM_NOUGHT = ("alpha", "beta", "tau", "rho", "eta", "lambda_affinity", "dispersion", "learning_rate", "weight_decay")
ALLOWED |= dict.fromkeys((*FROM_NOUGHT, "negative_alpha"), ((0.0,), (-1e-09,)))


def test_the_contract_covers_every_strategy():
    assert set(catalogue.names()) == set(CONTRACT)


@pytest.mark.parametrize("name", CONTRACT)
def test_fields_defaults_memory_and_gradient(name):
    fields, memory, gradient = CONTRACT[name]
    described = catalogue.describe(name)
    assert {one.name: one.default for one in described.parameters} == fields
    needs = catalogue.build(name, {}).needs()
    assert (str(needs.memory), needs.gradient) == (memory, gradient)
    assert needs.views == (10 if name == "vb_weights" else fields.get("views", 1))


@pytest.mark.parametrize(
    ("name", "field"), [(n, f) for n, (some, *_) in CONTRACT.items() for f in some if f in ALLOWED]
)
def test_parameters_have_their_bounds(name, field):
    inside, outside = ALLOWED[field]
    for value in inside:
        assert getattr(catalogue.build(name, {field: value}), field) == value
    for value in outside:
        with pytest.raises(BadParameters) as refused:
            catalogue.build(name, {field: value})
        assert field in str(refused.value.field)


@pytest.mark.parametrize("name", CONTRACT)
def test_the_smallest_and_largest_values_give_an_answer(name):
    """Finite answers at both ends of every float, except where an end is exclusive."""
    few, text = {"views": 4} if "views" in CONTRACT[name][0] else {}, text_space(3)
    for one in catalogue.describe(name).parameters:
        ends = (
            () if one.type != "float" else (one.maximum,) if "above" in one.description else (one.minimum, one.maximum)
        )
        for end in ends:
            strategy = catalogue.build(name, {**few, one.name: end})
            answers, _ = stream(strategy, frames(strategy, text, 4), begin(strategy, text))
            assert all(answer.max().isfinite() for answer in answers), (one.name, end)
