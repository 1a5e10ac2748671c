"""The path of `ImageLimits` until its callers import it from `decode`."""

from .decode import ImageLimits

__all__ = ["ImageLimits"]
