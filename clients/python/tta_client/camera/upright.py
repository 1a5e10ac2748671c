"""Pictures the way up that their container means them."""

from __future__ import annotations

from typing import Any


def upright(pixels: Any, picture: Any) -> Any:
    """`pixels` [h, w, 3] of a decoded `picture`, turned and flipped as its display matrix says, as players do.

    An angle in between goes to the nearest quarter turn.
    """
    import numpy as np
    from av.sidedata.sidedata import Type

    matrix = picture.side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return pixels
    # (x, y) is shown at (a x + c y, b x + d y), up to a shift; ISO 14496-12, 8.3.2.3
    a, b, _, c, d = (float(n) for n in np.frombuffer(matrix, np.int32)[:5])
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
