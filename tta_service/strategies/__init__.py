"""One test-time adaptation method in one file. `catalogue` finds every module beside this one."""

from ..core.catalogue import strategies as catalogue

__all__ = ["catalogue"]
