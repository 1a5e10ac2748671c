"""Encodes on a device without torch: the tower that `tta-service export-edge` has written, in ONNX Runtime."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import Any

from ..types.catalogue import ServerInfo
from ..types.frames import Features
from ..types.options import Choice
from ..types.pixels import to_pixels
from .extras import import_package
from .on_device import check_model
from .pictures import decode_picture, read_picture_file

KEY, FORMAT = "tta-edge", 1
MAX_ROWS = 16  # of one run, which bounds its memory


class EdgeEncoder:
    """Cuts the views that a strategy needs, and encodes them, as the service would.

    Raises OSError if a package is missing, the file is not an exported tower, or its model is not the service's.
    """

    def __init__(self, file: str, server: ServerInfo) -> None:
        runtime = import_package("onnxruntime", "ONNX Runtime", "encoding on the device", "edge")
        import_package("PIL", "Pillow", "encoding on the device", "edge")
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the cores are the camera's, too
        options.enable_cpu_mem_arena = False  # which would keep the peak of every size that ever came
        try:
            self._session = runtime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
            about = json.loads(self._session.get_modelmeta().custom_metadata_map.get(KEY, "{}"))
        except Exception as error:  # the runtime raises errors of many types
            raise OSError(f"--checkpoint {file} cannot be read: {' '.join(str(error).split())[:200]}") from None
        if about.get("format") != FORMAT:
            raise OSError(f"--checkpoint {file} was not written by tta-service export-edge, or by a later version")
        self._about, self._fingerprint = about, about["fingerprint"]
        check_model(about["model"], self._fingerprint, server)

    def check(self, strategies: Iterable[Choice]) -> None:
        """Raises ValueError for a strategy that the file does not know."""
        for strategy in strategies:
            self._needs(strategy)

    def features(self, image: Any, strategy: Choice, seed: int) -> Features:
        """The rows [v, d] that the service would compute from this picture for that strategy.

        Raises ValueError or OSError if it is no picture, ValueError for an unknown strategy.
        """
        import numpy as np

        from .edge_views import Crops, cut_views

        count, augment = self._needs(strategy)
        views = cut_views(_open(image), self._about["size"], count, augment, seed, Crops(**self._about["crops"]))
        name = self._session.get_inputs()[0].name
        parts = [views[at : at + MAX_ROWS] for at in range(0, count, MAX_ROWS)]
        rows = np.concatenate([self._session.run(None, {name: part})[0] for part in parts])
        return Features(rows, self._fingerprint)

    def _needs(self, strategy: Choice) -> tuple[int, str]:
        """The number of views, and how they are cut."""
        known = self._about["needs"]
        if strategy.name not in known:
            raise ValueError(f"no strategy is called {strategy.name!r} where the tower was exported")
        need, given = known[strategy.name], dict(strategy.parameters)
        if "of" in need["parameters"] and "of" in given:  # another strategy does its work
            return self._needs(Choice(str(given["of"])))
        chosen = need | {name: given[name] for name in need["parameters"] if name in given}
        count = chosen["views"]
        if isinstance(count, float) and count.is_integer():
            count = int(count)
        if not isinstance(count, int) or not 1 <= count <= 512:
            raise ValueError(f"{strategy.name}: views is a whole number from 1 to 512, not {count!r}")
        return count, str(chosen["augment"])


def _open(image: Any) -> Any:
    """An upright RGB picture of Pillow, as the service decodes it. Raises ValueError, OSError."""
    from PIL import Image, ImageOps

    if (data := read_picture_file(image)) is None:
        pixels = to_pixels(image)
        return Image.fromarray(pixels).convert("RGB")
    try:
        picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        if picture.mode.startswith("I"):  # sixteen bits, of which Pillow would take the lower eight
            picture = Image.fromarray(decode_picture(data, 0))
        return picture.convert("RGB")
    except Exception as error:  # decoders raise errors of many types
        raise ValueError(f"it is no picture: {error}") from error
