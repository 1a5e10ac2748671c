"""The one composition root: settings become parts, parts a running server, and that a drained one."""

from .commands import classify, measure, serve
from .runtime import Runtime, build_runtime
from .server import Application

__all__ = ["Application", "Runtime", "build_runtime", "classify", "measure", "serve"]
