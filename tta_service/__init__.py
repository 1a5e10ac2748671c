"""Test-time adaptation of a frozen CLIP, one strategy per call. These names are what a plug-in needs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # torch takes seconds, and the process that decodes pictures or shows help needs none
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
_MODULES = {
    "catalogue": ("register_reducer", "register_strategy"),
    "evidence": ("Evidence",),
    "labels": ("LabelSet", "Prompts", "TextSpace"),
    "reducer": ("Reducer",),
    "strategy": ("Needs", "Scope", "Stateless", "Strategy"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            value = getattr(import_module(f".core.{module}", __name__), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
