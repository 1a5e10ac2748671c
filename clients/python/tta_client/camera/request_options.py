"""The options of requests, as the command line gives them."""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

from ..types.confidence import Ask, Smooth
from ..types.options import Choice, Options, Reduction

SPELLINGS = {"True": True, "False": False, "nan": math.nan, "inf": math.inf, "-inf": -math.inf}  # Python's own


def make_options(options: argparse.Namespace, strategies: tuple[Choice, ...], reducer: Reduction | str) -> Options:
    """The options of a camera's stream."""
    return Options(
        strategies[0] if strategies else "",
        reducer,
        top_k=options.top_k,
        seed=options.seed,
        explain=bool((options.save or options.show) and options.protocol == "tta"),  # whose kept views are drawn
        ask=options.ask_per_hour is not None and Ask(options.ask_per_hour),
        calibrate=options.calibrate,
        defer_below=options.defer_below,
        coverage=options.coverage,
        none_below=options.none_below,
        smooth=None if options.smooth is None else Smooth(options.smooth),
    )


def parse_strategies(text: str, parameters: list[str]) -> tuple[Choice, ...]:
    """The strategies of --strategy, each with its --param. Raises ValueError."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    pairs = [parse_pair(parameter, "--param") for parameter in parameters]
    for key, _ in pairs:
        if not names or ("." in key and key.split(".")[0] not in names):
            raise ValueError(f"--param {key} belongs to no --strategy")
    return tuple(
        Choice(
            name, {key.split(".")[-1]: value for key, value in pairs if "." not in key or key.startswith(f"{name}.")}
        )
        for name in names
    )


def parse_reducer(name: str, parameters: list[str], scope: Any) -> Reduction | str:
    """The reducer with its parameters; "" without one. Raises ValueError."""
    if not name and parameters:
        raise ValueError("--reducer-param needs a --reducer")
    pairs = (parse_pair(parameter, "--reducer-param") for parameter in parameters)
    return Reduction(Choice(name, dict(pairs)), scope) if name else ""


def parse_pair(text: str, option: str) -> tuple[str, Any]:
    """K=V, whose value is JSON or Python's own spelling of it, else text. Raises ValueError."""
    key, value = split_pair(text, option)
    try:
        return key, json.loads(value)
    except (ValueError, RecursionError):  # too many digits or brackets among them
        return key, SPELLINGS.get(value, value)


def split_pair(text: str, option: str) -> tuple[str, str]:
    """K=V as text. Raises ValueError, naming the option."""
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise ValueError(f"{option}: {text!r} is not K=V")
    return key, value
