"""For our own tests and for authors of plug-ins: the conformance checks, and a CLIP made of a few small matrices."""

from .fake_clip import FakeCLIP
from .reducers import check_reducer
from .strategies import check_strategy

__all__ = ["FakeCLIP", "check_reducer", "check_strategy"]
