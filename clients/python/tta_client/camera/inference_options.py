"""The command line's words about a server of the Open Inference Protocol."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from .inference import Model

NOT_THERE = {  # what the protocol has no word for, and the value that stands for its absence
    "encode_on_device": False,
    "teach": False,
    "reducer": "",
    "reducer_param": [],
    "template": [],
    "frame_budget": None,
    "unpaced": False,
    "policy": None,
    "ask_per_hour": None,
    "calibrate": "",
    "defer_below": None,
    "coverage": None,
    "none_below": None,
    "smooth": None,
}


def make_inference_model(
    options: argparse.Namespace, labels: Sequence[str], parameters: Sequence[tuple[str, Any]]
) -> Model | None:
    """The model to ask; None for another protocol. Raises ValueError for options that do not go together."""
    if options.protocol != "oip":
        if options.input:
            raise ValueError("--input needs --protocol oip")
        return None
    for name, absent in NOT_THERE.items():
        if getattr(options, name) != absent:
            raise ValueError(f"--protocol oip takes no --{name.replace('_', '-')}")
    if not options.model:
        raise ValueError("--protocol oip needs a --model, the name that the server has for it")
    parsed = {"labels": ",".join(labels), "strategy": options.strategy, "seed": options.seed}
    parsed |= {"lesson_group": options.lesson_group}
    given = {name: value for name, value in parsed.items() if value not in ("", None)}
    under_way = 1 if options.session else options.buffer or 2
    return Model(options.model, options.input, options.top_k or 0, given | dict(parameters), options.session, under_way)
