"""The bundled small CLIP. Importing it makes its image tower known to timm."""

from . import tower as tower
