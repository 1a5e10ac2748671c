"""Errors of loading a model."""

from __future__ import annotations

from ..core.errors import TTAError


class CannotLoad(TTAError):
    """The model cannot be loaded as configured. The message says what to do."""
