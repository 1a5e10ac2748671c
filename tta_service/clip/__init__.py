"""The frozen CLIP. Only this package imports open_clip and timm."""

from __future__ import annotations

from ..core.errors import TTAError


class CannotLoad(TTAError):
    """The model cannot be loaded as configured. The message says what to do."""
