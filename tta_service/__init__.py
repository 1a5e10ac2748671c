"""Test-time adaptation of a frozen CLIP, one strategy per call: for programs (`load`), and for plug-ins."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # torch takes seconds, and the process that decodes pictures or shows help needs none
    from .core.catalogue import register_reducer, register_strategy
    from .core.evidence import Evidence
    from .core.labels import LabelSet, Prompts, TextSpace
    from .core.reducer import Reducer
    from .core.strategy import Needs, Scope, Stateless, Strategy
    from .library import Answer, AsyncModel, AsyncSession, Model, Session, load, load_async, restore

__all__ = [
    "Answer",
    "AsyncModel",
    "AsyncSession",
    "Evidence",
    "LabelSet",
    "Model",
    "Needs",
    "Prompts",
    "Reducer",
    "Scope",
    "Session",
    "Stateless",
    "Strategy",
    "TextSpace",
    "load",
    "load_async",
    "register_reducer",
    "register_strategy",
    "restore",
]
_MODULES = {
    "core.catalogue": ("register_reducer", "register_strategy"),
    "core.evidence": ("Evidence",),
    "core.labels": ("LabelSet", "Prompts", "TextSpace"),
    "core.reducer": ("Reducer",),
    "core.strategy": ("Needs", "Scope", "Stateless", "Strategy"),
    "library": ("Answer", "AsyncModel", "AsyncSession", "Model", "Session", "load", "load_async", "restore"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            value = getattr(import_module(f".{module}", __name__), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
