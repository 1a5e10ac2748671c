"""The frozen CLIP. Only this package imports open_clip and timm."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..core.errors import TTAError
from .import_hook import WithoutCompiler

sys.meta_path.insert(0, WithoutCompiler())

UNSAFE = ("weights_only", "trust_remote_code")  # options that libraries advise in their errors and that run code


class CannotLoad(TTAError):
    """The model cannot be loaded as configured. The message says what to do."""


@contextmanager
def wrap_errors(what: str, field: str) -> Iterator[None]:
    """Turns any exception inside into a `CannotLoad` of one sentence: `what`, then the start of the cause."""
    try:
        yield
    except CannotLoad:
        raise
    except Exception as error:
        why = " ".join(str(error).split())
        if any(word in why for word in UNSAFE):
            why = "it holds more than tensors or is damaged; what may run code of its own is never loaded"
        elif isinstance(error, StopIteration):
            why = "it holds no tensors"
        elif not isinstance(error, OSError | RuntimeError | ValueError):
            why = f"{type(error).__name__} {why}".rstrip()
        raise CannotLoad(f"{what}: {why if len(why) <= 500 else f'{why[:500]}…'}", field) from error
