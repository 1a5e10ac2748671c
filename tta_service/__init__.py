"""Test-time adaptation of a frozen CLIP, one strategy per call. These names are what a plug-in needs."""

from .core.catalogue import register_reducer, register_strategy
from .core.evidence import Evidence
from .core.labels import LabelSet, Prompts, TextSpace
from .core.reducer import Reducer
from .core.strategy import Needs, Scope, Stateless, Strategy

__all__ = [
    "Evidence",
    "LabelSet",
    "Needs",
    "Prompts",
    "Reducer",
    "Scope",
    "Stateless",
    "Strategy",
    "TextSpace",
    "register_reducer",
    "register_strategy",
]
