"""The public import path of the model: `from tta_service.clip.frozen import FrozenCLIP`."""

from .model import FrozenCLIP

__all__ = ["FrozenCLIP"]
