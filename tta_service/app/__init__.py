"""The one composition root: settings become parts, parts a running server, and that a drained one."""

from .commands import classify, measure, serve
from .runtime import Parts, assembled
from .server import Service

__all__ = ["Parts", "Service", "assembled", "classify", "measure", "serve"]
