"""Token reductions, one per file. `catalogue` finds every module of this package."""

from ..core.catalogue import reducers as catalogue

__all__ = ["catalogue"]
