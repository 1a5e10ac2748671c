"""Lets torchvision and timm load without torch's compiler, which nothing here needs before a model is compiled.

Each takes one function of `torch._dynamo` while it is imported, and that loads sympy, triton and all of the compiler:
1 to 3 CPU seconds and 170 MB. They get a function of the same meaning that turns to the compiler when it is called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


def is_compile_supported(device_type: object) -> bool:
    """That of `torch._dynamo.utils`."""
    return import_module(f"{PACKAGE}.utils").is_compile_supported(device_type)


def disable(function: Callable[..., Any], *options: Any, **named: Any) -> Callable[..., Any]:
    """That of `torch._dynamo`: the compiler, once there is one, leaves this function alone."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        compiler = sys.modules.get(PACKAGE)
        return (compiler.disable(function, *options, **named) if compiler else function)(*args, **kwargs)

    run.__dict__["_torchdynamo_disable"] = True  # by which the compiler knows such functions
    return run


PACKAGE = "torch._dynamo"
TAKEN = {  # module that is imported -> module that it takes the function from, and the function
    "torchvision.ops.roi_align": (f"{PACKAGE}.utils", is_compile_supported),  # torchvision 0.29
    "timm.models.naflexvit": (PACKAGE, disable),  # through torch.compiler; timm 1.0.31
}


class WithoutCompiler(MetaPathFinder):
    """Finds these modules as usual; while one is imported, what it takes from is a stand-in."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None for all other modules, and where the compiler is loaded already."""
        name, function = TAKEN.get(fullname, ("", None))
        spec = PathFinder.find_spec(fullname, path) if function and name not in sys.modules else None
        if spec and spec.loader and function:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                with _stand_in(name, function):
                    execute(module)

            spec.loader.exec_module = exec_module
        return spec


@contextmanager
def _stand_in(name: str, function: Callable[..., Any]) -> Iterator[None]:
    """A module with that function alone; whoever asks for more, in whatever thread, gets the real one."""
    module: Any = ModuleType(name)

    def remove() -> None:
        if sys.modules.get(name) is module:
            del sys.modules[name]

    def find(attribute: str) -> Any:
        if attribute.startswith("__") and (name, attribute) != (PACKAGE, "__path__"):  # which its modules are found by
            raise AttributeError(attribute)
        remove()
        return getattr(import_module(name), attribute)

    module.__dict__.update({function.__name__: function, "__getattr__": find})
    sys.modules.setdefault(name, module)  # another thread may have begun to load the real one
    try:
        yield
    finally:
        remove()
