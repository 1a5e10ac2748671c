"""One token reduction in one file. `catalogue` finds every module beside this one."""

from ..core.catalogue import reducers as catalogue

__all__ = ["catalogue"]
