"""The inputs of an inference request become pictures and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.errors import BadImage, BadRequest
from ...core.parameters import shorten
from ...core.request import Encoded, PixelFormat, Raw
from ..requests import EMPTY
from ..v1 import tta_pb2 as pb
from .parameters import pop
from .tensors import Tensor

GIVEN_TWICE = "labels are given once, and {} gives them too"


def read_images(inputs: Mapping[str, Tensor], batch: int) -> tuple[Encoded | Raw, ...]:
    """The pictures, at most `batch`. Raises `BadRequest`, `BadImage`."""
    encoded, pixels = inputs.get("image"), inputs.get("pixels")
    if (encoded is None) == (pixels is None):
        what = "there is no picture: give image or pixels" if encoded is None else "image or pixels, not both"
        raise BadRequest(what, "inputs.image")
    if encoded is not None:
        if encoded.shape not in ((encoded.batch,), (encoded.batch, 1)):
            raise BadRequest(f"its shape is {list(encoded.shape)}; it is [b, 1] or [b]", "inputs.image")
        _check_batch(encoded.batch, batch, "inputs.image")
        if b"" in encoded.values:
            place = f"[{encoded.values.index(b'')}]" if encoded.batch > 1 else ""  # type: ignore[union-attr]
            raise BadImage(EMPTY, f"inputs.image{place}")
        return tuple(map(Encoded, encoded.values))  # type: ignore[arg-type]
    assert pixels is not None
    if len(pixels.shape) != 4 or pixels.shape[3] != 3:
        raise BadRequest(f"its shape is {shorten(str(list(pixels.shape)))}; it is [b, h, w, 3]", "inputs.pixels")
    _check_batch(pixels.batch, batch, "inputs.pixels")
    _, height, width, _ = pixels.shape
    size, values = height * width * 3, pixels.values
    slices = (bytes(values[at : at + size]) for at in range(0, len(values), size))  # type: ignore[arg-type]
    return tuple(Raw(width, height, PixelFormat.RGB24, one) for one in slices)


def _check_batch(pictures: int, batch: int, field: str) -> None:
    if pictures > batch:
        raise BadRequest(f"{pictures} pictures; this server takes at most {batch} in one request", field)


@dataclass(frozen=True, slots=True, eq=False)
class GivenLabels:
    """The labels that parameters give, the field they are in, and the templates of those that a tensor holds."""

    labels: pb.Labels | None
    field: str = "inputs.labels"
    templates: tuple[str, ...] = ()


def take_labels(values: dict[str, Any]) -> GivenLabels:
    """Takes what the parameters say about labels out of `values`. Raises `BadRequest`."""
    names, id, template = (pop(values, name, str) for name in ("labels", "label_set", "template"))
    if names is not None and id is not None:
        raise BadRequest(GIVEN_TWICE.format("parameters.labels"), "parameters.label_set")
    if id is not None:
        if template is not None:
            raise BadRequest("a label set that is named by its id has templates of its own", "parameters.template")
        return GivenLabels(pb.Labels(id=id), "parameters.label_set")
    templates = () if template is None else (template,)
    if names is None:
        return GivenLabels(None, templates=templates)
    return GivenLabels(_label_set([name.strip() for name in names.split(",")], templates), "parameters.labels")


def read_labels(tensor: Tensor | None, given: GivenLabels, batch: int) -> tuple[pb.Labels, ...]:
    """One entry for all pictures or one for each. Raises `BadRequest`."""
    if tensor is None:
        return (given.labels or pb.Labels(),)
    if given.labels is not None:
        raise BadRequest(GIVEN_TWICE.format("inputs.labels"), given.field)
    return tuple(_label_set(names, given.templates) for names in _rows(tensor, batch))


def _label_set(names: Sequence[str], templates: Sequence[str]) -> pb.Labels:
    return pb.Labels(label_set=pb.LabelSet(names=names, templates=templates))


def _rows(tensor: Tensor, batch: int) -> list[list[str]]:
    texts, columns = tensor.texts("inputs.labels"), tensor.shape[-1]
    if len(tensor.shape) > 2 or (len(tensor.shape) == 2 and tensor.batch not in (1, batch)):
        raise BadRequest(
            f"its shape is {shorten(str(list(tensor.shape)))}; it is [n], [1, n] or [{batch}, n]", "inputs.labels"
        )
    return [texts[at : at + columns] for at in range(0, len(texts), columns)]
