"""For our own tests and for authors of plug-ins: the conformance checks, and a CLIP made of a few small matrices."""

from .check_reducer import check_reducer
from .check_strategy import check_strategy
from .fake_clip import FakeCLIP

__all__ = ["FakeCLIP", "check_reducer", "check_strategy"]
