"""Test-time adaptation methods, one per file. `catalogue` finds every module of this package."""

from ..core.catalogue import strategies as catalogue

__all__ = ["catalogue"]
