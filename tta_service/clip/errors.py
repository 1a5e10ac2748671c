"""What goes wrong when a model is loaded."""

from __future__ import annotations

from ..core.errors import TTAError


class CannotLoad(TTAError):
    """The model that was asked for cannot be had; the message says what to do."""
