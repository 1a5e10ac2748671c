"""The one composition root: settings become parts, parts a running server, and that a drained one."""

from .parts import Parts, assembled
from .run import classify, measure, serve
from .service import Service

__all__ = ["Parts", "Service", "assembled", "classify", "measure", "serve"]
