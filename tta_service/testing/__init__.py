"""Conformance checks for strategies and reducers, and a small fake CLIP, for this project's tests and for plug-ins."""

from .check_reducer import check_reducer
from .check_strategy import check_strategy
from .fake_clip import FakeCLIP

__all__ = ["FakeCLIP", "check_reducer", "check_strategy"]
