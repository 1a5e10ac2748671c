"""The inputs of an inference request become pictures and labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.errors import BadRequest
from ...core.parameters import shorten
from ..v1 import tta_pb2 as pb
from .parameters import pop
from .tensors import Tensor


def read_images(inputs: Mapping[str, Tensor], batch: int) -> list[pb.Image]:
    """The pictures, at most `batch`. Raises `BadRequest`."""
    encoded, pixels = inputs.get("image"), inputs.get("pixels")
    if (encoded is None) == (pixels is None):
        what = "there is no picture: give image or pixels" if encoded is None else "image or pixels, not both"
        raise BadRequest(what, "inputs.image")
    if encoded is not None:
        if encoded.shape not in ((encoded.batch,), (encoded.batch, 1)):
            raise BadRequest(f"its shape is {list(encoded.shape)}; it is [b, 1] or [b]", "inputs.image")
        _check_batch(encoded.batch, batch, "inputs.image")
        return [pb.Image(encoded=data) for data in encoded.values]  # type: ignore[arg-type]
    assert pixels is not None
    if len(pixels.shape) != 4 or pixels.shape[3] != 3:
        raise BadRequest(f"its shape is {shorten(str(list(pixels.shape)))}; it is [b, h, w, 3]", "inputs.pixels")
    _check_batch(pixels.batch, batch, "inputs.pixels")
    _, height, width, _ = pixels.shape
    size, form = height * width * 3, pb.RawImage.FORMAT_RGB24
    slices = (bytes(pixels.values[at : at + size]) for at in range(0, len(pixels.values), size))  # type: ignore[arg-type]
    return [pb.Image(raw=pb.RawImage(width=width, height=height, format=form, pixels=one)) for one in slices]


def _check_batch(pictures: int, batch: int, field: str) -> None:
    if pictures > batch:
        raise BadRequest(f"{pictures} pictures; this server takes at most {batch} in one request", field)


def read_labels(tensor: Tensor | None, values: dict[str, Any], batch: int) -> tuple[list[pb.Labels], str]:
    """One entry for all pictures or one for each, and the field that they came from. Raises `BadRequest`."""
    names, id, template = (pop(values, name, str) for name in ("labels", "label_set", "template"))
    given = {"inputs.labels": tensor, "parameters.labels": names, "parameters.label_set": id}
    chosen = [field for field, value in given.items() if value is not None]
    if len(chosen) > 1:
        raise BadRequest(f"labels are given once, and {chosen[0]} gives them too", chosen[1])
    field = (chosen or ["inputs.labels"])[0]
    if id is not None:
        if template is not None:
            raise BadRequest("a label set that is named by its id has templates of its own", "parameters.template")
        return [pb.Labels(id=id)], field
    return (_label_sets(tensor, names or "", template, batch) if chosen else [pb.Labels()]), field


def _label_sets(tensor: Tensor | None, names: str, template: str | None, batch: int) -> list[pb.Labels]:
    rows = [[name.strip() for name in names.split(",")]] if tensor is None else _rows(tensor, batch)
    templates = [] if template is None else [template]
    return [pb.Labels(label_set=pb.LabelSet(names=row, templates=templates)) for row in rows]


def _rows(tensor: Tensor, batch: int) -> list[list[str]]:
    texts, columns = tensor.texts("inputs.labels"), tensor.shape[-1]
    if len(tensor.shape) > 2 or (len(tensor.shape) == 2 and tensor.batch not in (1, batch)):
        raise BadRequest(
            f"its shape is {shorten(str(list(tensor.shape)))}; it is [n], [1, n] or [{batch}, n]", "inputs.labels"
        )
    return [texts[at : at + columns] for at in range(0, len(texts), columns)]
