"""The public name of `model`: `from tta_service.clip.frozen import FrozenCLIP` stays as it was."""

from .model import FrozenCLIP

__all__ = ["FrozenCLIP"]
