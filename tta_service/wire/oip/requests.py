"""An inference request of the protocol becomes requests of `Classify`, one for each picture."""

from __future__ import annotations

import copy
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...core.errors import BadRequest, TTAError
from ...core.request import Encoded, Raw
from ..server_info import ServerInfo, parse_once
from ..v1 import open_inference_pb2 as oip
from ..v1 import tta_pb2 as pb
from .models import ANY, EMBED, TOP, check_model, datatypes_of, outputs_of
from .parameters import check_number, fill_options, pop, values_of
from .pictures import GivenLabels, read_images, read_labels, take_labels
from .tensors import read_inputs

NO_LABELS = GivenLabels(pb.Labels(label_set=pb.LabelSet(names=["image"])), "")  # where the feature alone is wanted


@dataclass(frozen=True, slots=True)
class Output:
    """An output that is asked for; with `classes` as so many texts "score:index:label", the best first."""

    name: str
    classes: int = 0


DEFAULT_OUTPUTS = tuple(Output(spec.name) for spec in TOP)  # of all models but `embed`


@dataclass(frozen=True, slots=True)
class SequenceStep:
    """Which sequence the frame is of, and whether it is the first or last of it."""

    id: str
    start: bool
    end: bool


@dataclass(frozen=True, slots=True, eq=False)
class InferRequest:
    """A request whose tensors and parameters are read; what they say is checked by `parse_request`."""

    model: str
    id: str
    images: tuple[Encoded | Raw, ...]
    labels: tuple[pb.Labels, ...]  # of all of them, or of each
    options: pb.ClassifyRequest  # all but image and labels: do not change it
    outputs: tuple[Output, ...]
    sequence: SequenceStep | None
    timeout: float | None  # seconds from its arrival
    fields: Mapping[str, str]  # where the parts of the pictures' requests came from

    def of_picture(self, place: int) -> pb.ClassifyRequest:
        """The request of the picture at that place, without the picture."""
        request = pb.ClassifyRequest(labels=self.labels[place % len(self.labels)], request_id=self.id)
        request.MergeFrom(self.options)
        return request

    @contextmanager
    def locate_errors(self, place: int) -> Generator[None]:
        """A block whose errors, of the picture at that place, name the field as this protocol's callers know it."""
        try:
            yield
        except TTAError as error:
            located = copy.copy(error)
            located.field = self._field(error.field, place)
            raise located.with_traceback(error.__traceback__) from error.__cause__

    def _field(self, field: str, place: int) -> str:
        for pattern, name in self.fields.items():
            if match := re.match(pattern, field):
                field = name + field[match.end() :]
                break
        many = len(self.images) > 1 and field in ("inputs.image", "inputs.pixels")
        return f"{field}[{place}]" if many else field


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """What the parameters of a request say, whatever its tensors are."""

    options: pb.ClassifyRequest  # of each picture: all but image and labels
    labels: GivenLabels
    sequence: SequenceStep | None
    timeout: float | None
    fields: Mapping[str, str]


def parse_infer(message: oip.ModelInferRequest, server_info: ServerInfo, batch: int) -> InferRequest:
    """The request, of at most `batch` pictures. Raises `TTAError` that names the field."""
    model = check_model(message.model_name, message.model_version)
    check_number(message.parameters)
    about = oip.ModelInferRequest(model_name=model)
    about.parameters.MergeFrom(message.parameters)
    head = _parse_head(about, server_info, "")
    inputs = read_inputs(message, datatypes_of(model), max(batch, 1) * (server_info.limits.names + 1))
    images = read_images(inputs, batch)
    if head.sequence and len(images) > 1:
        raise BadRequest(f"a frame of a sequence is one picture, not {len(images)}", "parameters.sequence_id")
    labels = read_labels(inputs.get("labels"), head.labels, len(images))
    outputs = _outputs(message, model, server_info)
    return InferRequest(
        model, message.id, images, labels, head.options, outputs, head.sequence, head.timeout, head.fields
    )


@parse_once
def _parse_head(message: oip.ModelInferRequest, server_info: ServerInfo, path: str) -> Head:
    model, values = message.model_name, values_of(message.parameters)
    sequence, timeout = _sequence(values), _timeout(values)
    sequence = sequence if model != EMBED else None  # it has nothing to keep
    labels = take_labels(values) if model != EMBED else NO_LABELS
    request = pb.ClassifyRequest(session_id=sequence.id if sequence else "")
    request.options.strategy.name = "zero_shot" if model == EMBED else "" if model == ANY else model
    fill_options(request, values, choose=model == ANY, strategy=model != EMBED)
    return Head(request, labels, sequence, timeout, _fields(labels.field))


def facts_of(message: Any) -> tuple[str, str, str]:
    """The unchecked strategy, request id and session in a message of any kind, "" for what it does not say."""
    if not isinstance(message, oip.ModelInferRequest):
        strategy = message.options.strategy.name if isinstance(message, pb.ClassifyRequest) else ""
        return strategy, getattr(message, "request_id", ""), getattr(message, "session_id", "")
    parameters, model = message.parameters, message.model_name
    strategy = model if model != ANY else parameters["strategy"].string_param if "strategy" in parameters else ""
    sequence = parameters["sequence_id"] if "sequence_id" in parameters else oip.InferParameter()
    id = sequence.string_param or str(sequence.int64_param or sequence.uint64_param or "")
    return strategy, message.id, id


def _sequence(values: dict[str, Any]) -> SequenceStep | None:
    """None without an id, or with one that stands for none: 0 or ""."""
    id = pop(values, "sequence_id", int, str)
    start, end = (bool(pop(values, name, bool)) for name in ("sequence_start", "sequence_end"))
    return SequenceStep(str(id), start, end) if id else None


def _timeout(values: dict[str, Any]) -> float | None:
    """Microseconds become seconds; 0 stands for none."""
    microseconds = pop(values, "timeout", int)
    if microseconds is not None and microseconds < 0:
        raise BadRequest(f"{microseconds} is no number of microseconds", "parameters.timeout")
    return microseconds / 1e6 if microseconds else None


def _outputs(message: oip.ModelInferRequest, model: str, server_info: ServerInfo) -> tuple[Output, ...]:
    if model != EMBED and not message.outputs:
        return DEFAULT_OUTPUTS
    specs, outputs = {spec.name: spec for spec in outputs_of(model, server_info)}, dict[str, Output]()
    for asked in message.outputs:
        field = f"outputs.{asked.name[:64]}"
        if asked.name not in specs:
            raise BadRequest(f"there is no such output; there are {', '.join(specs)}", field)
        if asked.name in outputs:
            raise BadRequest("it is asked for twice", field)
        outputs[asked.name] = Output(asked.name, _classes(asked, specs[asked.name].classified, field))
    return tuple(outputs.values()) or tuple(map(Output, specs))


def _classes(asked: oip.ModelInferRequest.InferRequestedOutputTensor, possible: bool, field: str) -> int:
    values = values_of(asked.parameters)
    if "shared_memory_region" in values:
        raise BadRequest("this server writes no shared memory", field)
    classes = pop(values, "classification", int, field=f"{field}.parameters")
    if classes is not None and (classes < 1 or not possible):
        raise BadRequest("scores can be classified, by at least 1 class", f"{field}.parameters.classification")
    return classes or 0


def _fields(labels: str) -> dict[str, str]:
    """Patterns of fields in a `ClassifyRequest`, and what they are called here."""
    return {
        r"image\.raw(\.\w+)?": "inputs.pixels",
        r"image(\.encoded)?": "inputs.image",
        r"labels\.label_set\.templates\[0\]": "parameters.template",
        r"labels(\.label_set\.names|\.label_set|\.id)?": labels or "inputs.labels",
        r"session_id": "parameters.sequence_id",
        r"lesson_group": "parameters.lesson_group",
        r"options\.strategy\.parameters": "parameters.strategy",
        r"options\.strategy\.name": "parameters.strategy",
        r"options\.reduction\.reducer\.parameters": "parameters.reducer",
        r"options\.reduction\.reducer\.name": "parameters.reducer",
        r"options": "parameters",
    }
