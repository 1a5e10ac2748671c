"""The catalogues: every strategy and every reducer by name, built-in and third-party.

The built-in entries are the modules of the package that the catalogue is named after. Third parties register entry
points in the group of the same name. A plug-in that raises, or whose name is taken, is logged and left out.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, cast

from .errors import BadParameters, TTAError, UnknownReducer, UnknownStrategy
from .parameters import Parameter, parameters_of, shorten, validate
from .reducer import Reducer
from .strategy import Needs, Strategy, is_teachable

T = TypeVar("T")
Class = TypeVar("Class", bound=type)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Description:
    """What a client reads about one entry."""

    name: str
    summary: str  # the module's first sentence
    paper: str  # the rest of its first paragraph: citation with a link
    parameters: tuple[Parameter, ...]
    needs: Needs  # with default parameters
    teachable: bool = False  # it learns from lessons


class Catalogue(Generic[T]):
    """Frozen dataclasses that inherit from `base`, by name. Thread-safe; the modules are imported on first use."""

    def __init__(self, kind: str, base: type[T], package: str, unknown: type[TTAError]) -> None:
        self._kind, self._base, self._package, self._unknown = kind, base, package, unknown
        self._classes: dict[str, type[T]] = {}
        self._imported = self._plugins = False
        self._lock = threading.RLock()

    def register(self, name: str) -> Callable[[Class], Class]:
        """Class decorator. Raises ValueError when the name is taken, TypeError for a class that cannot be served."""

        def add(cls: Class) -> Class:
            if not cls.__module__.startswith(f"{self._package}."):
                self._import_built_in()  # first, so that a plug-in imported early cannot take a built-in name
            with self._lock:
                if name in self._classes:
                    raise ValueError(f"two {self._kind} classes are called {name!r}")
                self._check(name, cls)
                cls.name = name  # type: ignore[attr-defined]
                self._classes[name] = cast(type[T], cls)
            return cls

        return add

    def names(self) -> tuple[str, ...]:
        """All names in alphabetical order, plug-ins included."""
        return tuple(sorted(self._load()))

    def __contains__(self, name: str) -> bool:
        return name in self._load()

    def get(self, name: str) -> type[T]:
        """The class of that name. Raises `UnknownStrategy` or `UnknownReducer`, whose message lists the names."""
        classes = self._load()
        if name not in classes:
            known = ", ".join(sorted(classes))
            raise self._unknown(f"no {self._kind} is called {shorten(name)}; there are {known}", "name")
        return classes[name]

    def build(
        self, name: str, parameters: Mapping[str, Any] | None = None, limits: Mapping[str, float] | None = None
    ) -> T:
        """An instance from untrusted parameters. Checks are strict; unknown and non-finite values are refused.

        An integral double stands for an int, because the wire's Struct holds only doubles. `limits` are the server's
        own maxima by field name: a default above one is lowered to it, a given value above one is refused. Raises
        `BadParameters` with a sentence that names the field.
        """
        cls, given = self.get(name), parameters or {}
        values = validate(cls, given)
        for field, most in (limits or {}).items():
            if not isinstance(values.get(field), int | float) or values[field] <= most:
                continue
            if field in given:
                raise BadParameters(
                    f"{field} is {values[field]}; this server allows at most {most:g}", f"parameters.{field}"
                )
            values = validate(cls, {**values, field: type(values[field])(most)})
        return cls(**values)

    def describe(self, name: str, limits: Mapping[str, float] | None = None) -> Description:
        """The entry of that name. Its defaults, bounds and needs are those under the server's own `limits`."""
        cls = self.get(name)
        first, _, paper = _first_paragraph(cls).partition(". ")
        default: Any = self.build(name, {}, limits)
        adapts = issubclass(self._base, Strategy)
        needs: Needs = default.needs() if adapts else Needs()
        parameters = tuple(_lower(parameter, default, limits or {}) for parameter in parameters_of(cls))
        linked = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"arXiv:\1, https://arxiv.org/abs/\1", paper)
        teachable = adapts and is_teachable(default)
        return Description(name, first.removesuffix(".") + ".", linked, parameters, needs, teachable)

    def _check(self, name: str, cls: type[Any]) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
            raise TypeError(f"{name!r} is no {self._kind} name: lower-case letters, digits and underscores only")
        if not issubclass(cls, self._base):
            raise TypeError(f"{cls.__qualname__} is not a {self._base.__name__}")
        if not is_dataclass(cls) or not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            raise TypeError(f"{cls.__qualname__} must be a frozen dataclass")
        hash(cls(**{field.name: field.default for field in fields(cls)}))  # raises when not hashable

    def _load(self) -> dict[str, type[T]]:
        self._import_built_in()
        with self._lock:
            if not self._plugins:
                self._plugins = True
                for plugin in entry_points(group=self._package):
                    before = dict(self._classes)
                    try:
                        plugin.load()
                    except Exception:
                        self._classes = before  # without what it registered before it failed
                        log.exception("left out the %s plug-in %s (%s)", self._kind, plugin.name, plugin.value)
            return self._classes

    def _import_built_in(self) -> None:
        with self._lock:
            if not self._imported:
                self._imported = True
                package = importlib.import_module(self._package)
                for module in pkgutil.iter_modules(package.__path__):
                    importlib.import_module(f"{self._package}.{module.name}")


def _lower(parameter: Parameter, default: object, limits: Mapping[str, float]) -> Parameter:
    most = limits.get(parameter.name)
    if most is None or parameter.maximum is None:
        return parameter
    return replace(parameter, default=getattr(default, parameter.name), maximum=min(parameter.maximum, most))


def _first_paragraph(cls: type) -> str:
    module = importlib.import_module(cls.__module__)
    return " ".join((module.__doc__ or cls.__doc__ or "").split("\n\n")[0].split())


strategies: Catalogue[Strategy[Any]] = Catalogue("strategy", Strategy, "tta_service.strategies", UnknownStrategy)
reducers: Catalogue[Reducer] = Catalogue("reducer", Reducer, "tta_service.reducers", UnknownReducer)
register_strategy = strategies.register
register_reducer = reducers.register
