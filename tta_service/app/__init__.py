"""The composition root: settings become a `Runtime`, and a runtime becomes a running `Application`."""

from .commands import classify, measure, serve
from .form import describe, tune
from .parts import Runtime
from .runtime import build_runtime
from .server import Application

__all__ = ["Application", "Runtime", "build_runtime", "classify", "describe", "measure", "serve", "tune"]
