"""View embeddings made here, with the service's own model: no pixel leaves this machine. Needs `tta_service`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from ..statistics import Statistics
from ..types.catalogue import ServerInfo
from ..types.frames import Features, Frame, close_source
from ..types.options import Choice, Options
from ..types.pixels import pixels
from .decoders import file_bytes

log = logging.getLogger("tta_client")


@dataclass(frozen=True, slots=True)
class Model:
    """Which model to load. An empty name is the service's own, `checkpoint` a file of weights."""

    name: str = ""  # "pocket", or NAME/TAG of open_clip
    checkpoint: str = ""
    device: str = "auto"


class Encoder:
    """The service's look and image tower, for the views that each strategy asks for.

    Raises OSError without tta_service, or when the model cannot be had or is not the service's.
    """

    def __init__(self, model: Model, server: ServerInfo) -> None:
        if not find_spec("tta_service"):
            raise OSError("encoding on the device needs the package tta_service, with the service's model, here")
        from tta_service.clip.load import load
        from tta_service.core.errors import TTAError

        name, _, tag = (model.name or server.model).partition("/")
        if (model.name or server.model).startswith("hf-hub:"):
            name, tag = model.name or server.model, ""
        if model.checkpoint and not model.name:
            name = "pocket"  # then the architecture stands beside the weights
        try:
            self._clip = load(name, tag, model.checkpoint, model.device, server.precision)
        except TTAError as error:
            message = f"the service's model ({server.model}) cannot be loaded here: {error.message}"
            raise OSError(f"{message}; --model and --checkpoint may name it otherwise") from error
        if self._clip.fingerprint != server.model_fingerprint:
            raise OSError(
                f"the model here ({self._clip.name}, fingerprint {self._clip.fingerprint}) is not the service's "
                f"({server.model}, fingerprint {server.model_fingerprint}): their features are no neighbours"
            )

    def check(self, strategies: Iterable[Choice]) -> None:
        """Raises ValueError for a strategy that this machine does not know: its views could not be cut here."""
        from tta_service.core.errors import TTAError

        for strategy in strategies:
            try:
                _strategy(strategy)
            except TTAError as error:
                raise ValueError(error.message) from error

    def features(self, image: Any, strategy: Choice, seed: int) -> Features:
        """The rows that the service would have made of this picture for that strategy. Raises ValueError for no picture
        or no such strategy."""
        from tta_service.core.errors import TTAError
        from tta_service.images.decode import decode
        from tta_service.images.views import look

        try:
            needs = _strategy(strategy).needs()
            views = look(decode(_picture(image)), self._clip.image_size, needs.views, seed, needs.augment)
        except TTAError as error:
            raise ValueError(error.message) from error
        rows = self._clip.encode_image(views.pixels)
        return Features(rows.numpy(), self._clip.fingerprint)


def encode_frames(
    frames: Iterable[Frame], encode: Callable[[Any, Choice, int], Features], options: Options, statistics: Statistics
) -> Iterator[Frame]:
    """The same frames as features for the strategy that each of them, or `options`, asks for.

    One that is no picture is left out, and counted: it cannot be shown to the service.
    """
    source = iter(frames)
    try:
        for frame in source:
            asked = frame.options or options
            seed = ((asked.seed or 0) + frame.frame_id) % 2**64  # a stream's frames add their number
            try:
                made = encode(frame.image, _choice(asked.strategy), seed)
            except (ValueError, OSError) as error:
                statistics.dropped["unreadable"] += 1
                log.warning("frame %s is left out: %s", frame.frame_id, error)
                continue
            yield replace(frame, image=made)
    finally:
        close_source(source)


def _choice(strategy: str | Choice) -> Choice:
    return strategy if isinstance(strategy, Choice) else Choice(strategy)


def _strategy(choice: Choice) -> Any:
    from tta_service.core.catalogue import strategies

    return strategies.build(choice.name, choice.parameters)


def _picture(image: Any) -> Any:
    from tta_service.core.request import Encoded, PixelFormat, Raw

    data = file_bytes(image)
    if data is not None:
        return Encoded(data)
    image = pixels(image)
    format = PixelFormat.RGB24 if image.ndim == 3 else PixelFormat.GRAY8
    return Raw(image.shape[1], image.shape[0], format, image.tobytes())
