"""Arrays and PIL images as raw pixels: eight bits a channel, RGB or gray."""

from __future__ import annotations

from typing import Any

BITS = (8, 10, 12, 14, 16)  # of a sample, as sensors have them
ACCEPTED = "a uint8 or uint16 array [h, w], [h, w, 1], [h, w, 3] or [h, w, 4]"


class SampleDepth:
    """The bits in use of the 16-bit samples of one source: the fewest of `BITS` that hold every sample so far.

    Sensors of 10, 12 or 14 bits often leave the upper bits empty; the upper eight of all 16 would make their images
    black. (PNG's sBIT does not help: it describes samples that were scaled to 16 bits.)
    """

    def __init__(self) -> None:
        self._bits = 8

    def to_uint8(self, samples: Any) -> Any:
        """A uint16 array as uint8: the upper eight of the bits in use."""
        brightest = int(samples.max()) if samples.size else 0
        self._bits = max(self._bits, next(bits for bits in BITS if brightest < 1 << bits))
        return (samples >> self._bits - 8).astype("uint8")


def to_pixels(image: Any, depth: SampleDepth | None = None) -> Any:
    """A PIL image or an `ACCEPTED` array as uint8 [h, w, 3] RGB or [h, w] gray. Alpha is dropped, as in the service.

    `depth` is that of the image's source. Raises ValueError for anything else.
    """
    if callable(getattr(image, "convert", None)) and hasattr(image, "getexif"):
        image = _of_pillow(image)
    shape: Any = tuple(getattr(image, "shape", ()))
    dtype: Any = getattr(image, "dtype", None)
    fits = len(shape) > 1 and shape[2:] in ((), (1,), (3,), (4,))
    if not fits or getattr(dtype, "name", "") not in ("uint8", "uint16"):
        kind = type(image).__name__ if dtype is None else f"{dtype} {list(shape)}"
        raise ValueError(f"an image is the bytes or the path of a file, a PIL image or {ACCEPTED}, not {kind}")
    if len(shape) == 3:
        image = image[..., 0] if shape[2] == 1 else image[..., :3]
    return image if dtype.itemsize == 1 else (depth or SampleDepth()).to_uint8(image)


def _of_pillow(image: Any) -> Any:
    try:
        import numpy as np
    except ImportError:
        raise ValueError("a PIL image needs numpy: pip install numpy") from None
    from PIL import ImageOps

    try:
        image = ImageOps.exif_transpose(image)
    except Exception as error:  # decoding starts here, and decoders raise errors of many types
        raise ValueError(f"the PIL image cannot be read: {error}") from error
    if image.mode.startswith("I"):  # 16-bit gray; in the mode "I" as 32
        return np.asarray(image).clip(0, 65535).astype(np.uint16)
    if image.mode == "F":
        return np.asarray(image)  # the caller has to say what its numbers mean; `to_pixels` refuses it
    return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA", "La") else "RGB"))
