"""Computes view embeddings here, with the service's model: no pixel leaves this machine. Needs `tta_service`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from ..statistics import Statistics
from ..types.catalogue import ServerInfo
from ..types.frames import Features, Frame, open_frames
from ..types.options import Choice, Options
from ..types.pixels import to_pixels
from .pictures import read_picture_file

log = logging.getLogger("tta_client")


@dataclass(frozen=True, slots=True)
class Model:
    """Which model to load: an empty `name` means the service's, and `checkpoint` is a file of weights."""

    name: str = ""  # "pocket", or NAME/TAG of open_clip
    checkpoint: str = ""
    device: str = "auto"


class Encoder:
    """Cuts the views that a strategy needs, and encodes them, as the service would.

    Raises OSError if tta_service is not installed, or if the model cannot be loaded or is not the service's.
    """

    def __init__(self, model: Model, server: ServerInfo) -> None:
        if not find_spec("tta_service"):
            raise OSError("--encode-on-device needs the package tta_service, and the service's model, on this machine")
        from tta_service.core.errors import TTAError

        try:
            self._clip = _load_model(model, server)
        except TTAError as error:
            message = f"the service's model ({server.model}) cannot be loaded here: {error.message}"
            raise OSError(f"{message}; --model and --checkpoint choose another") from error
        self._jpeg_side = server.jpeg_side
        check_model(self._clip.name, self._clip.fingerprint, server)

    def check(self, strategies: Iterable[Choice]) -> None:
        """Raises ValueError for a strategy that is not installed here, whose views cannot be cut."""
        with _as_value_error():
            for strategy in strategies:
                _build_strategy(strategy)

    def features(self, image: Any, strategy: Choice, seed: int) -> Features:
        """The rows [v, d] that the service would compute from this picture for that strategy.

        Raises ValueError if it is no picture, or for an unknown strategy.
        """
        from tta_service.images.decode import decode
        from tta_service.images.views import look

        with _as_value_error():
            needs = _build_strategy(strategy).needs()
            pixels = decode(_make_image(image), jpeg_side=self._jpeg_side)
            views = look(pixels, self._clip.image_size, needs.views, seed, needs.augment)
        rows = self._clip.encode_image(views.pixels)
        return Features(rows.numpy(), self._clip.fingerprint)


def check_model(name: str, fingerprint: str, server: ServerInfo) -> None:
    """Raises OSError unless the model on this machine is the service's."""
    if fingerprint != server.model_fingerprint:
        raise OSError(
            f"the model here ({name}, fingerprint {fingerprint}) is not the service's "
            f"({server.model}, fingerprint {server.model_fingerprint}): their features cannot be compared"
        )


def _load_model(model: Model, server: ServerInfo) -> Any:
    """The model in the service's precision, which was set there by hand or found to agree with float32."""
    from tta_service.clip.load import load

    name, _, tag = (model.name or server.model).partition("/")
    if (model.name or server.model).startswith("hf-hub:"):
        name, tag = model.name or server.model, ""
    if model.checkpoint and not model.name:
        name = "pocket"  # whose checkpoint holds its architecture
    clip = load(name, tag, model.checkpoint, model.device, server.precision)
    if clip.fingerprint == server.model_fingerprint or server.precision == "float32":
        return clip
    return load(name, tag, model.checkpoint, model.device, server.precision, agrees=True)


def encode_frames(
    frames: Iterable[Frame], encode: Callable[[Any, Choice, int], Features], options: Options, statistics: Statistics
) -> Iterator[Frame]:
    """The same frames as features, for the strategy of each frame's options, else of `options`.

    A frame that is no picture is left out, and counted in `statistics` as `unreadable`.
    """
    with open_frames(frames) as source:
        for frame in source:
            chosen = frame.options or options
            strategy = chosen.strategy if isinstance(chosen.strategy, Choice) else Choice(chosen.strategy)
            seed = ((chosen.seed or 0) + frame.frame_id) % 2**64  # as the service does for the frames of a stream
            try:
                features = encode(frame.image, strategy, seed)
            except (ValueError, OSError) as error:
                statistics.dropped["unreadable"] += 1
                log.warning("frame %s is left out: %s", frame.frame_id, error)
                continue
            yield replace(frame, image=features)


@contextmanager
def _as_value_error() -> Iterator[None]:
    from tta_service.core.errors import TTAError

    try:
        yield
    except TTAError as error:
        raise ValueError(error.message) from error


def _build_strategy(choice: Choice) -> Any:
    from tta_service.core.catalogue import strategies

    return strategies.build(choice.name, choice.parameters)


def _make_image(image: Any) -> Any:
    from tta_service.core.request import Encoded, PixelFormat, Raw

    data = read_picture_file(image)
    if data is not None:
        return Encoded(data)
    image = to_pixels(image)
    format = PixelFormat.RGB24 if image.ndim == 3 else PixelFormat.GRAY8
    return Raw(image.shape[1], image.shape[0], format, image.tobytes())
