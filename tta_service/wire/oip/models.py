"""The models that the protocol sees: one for each strategy, `tta` for all of them, and `embed`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...core.catalogue import strategies
from ...core.errors import UnknownModel
from ...core.parameters import shorten
from ...core.strategy import Scope, needs_of
from ..server_info import ServerInfo
from ..v1 import open_inference_pb2 as oip

OPEN_INFERENCE = "inference.GRPCInferenceService"  # all its methods take the role infer
ANY, EMBED = "tta", "embed"  # the model whose strategy is a parameter, and the one that gives features
VERSION = "1"  # perf_analyzer reads it as a number
PLATFORM = "tta_service"
EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "sequence",
    "sequence(string_id)",
    "model_configuration",
    "statistics",
    "parameters",
)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of a model."""

    name: str
    datatype: str
    dims: tuple[int, ...]  # without the batch; -1: any
    optional: bool = False
    classified: bool = False  # texts "score:index:label" can be had instead


IMAGES = (TensorSpec("image", "BYTES", (1,)), TensorSpec("pixels", "UINT8", (-1, -1, 3), optional=True))
INPUTS = (*IMAGES, TensorSpec("labels", "BYTES", (-1,), optional=True))
IMAGE_TYPES, INPUT_TYPES = ({spec.name: spec.datatype for spec in specs} for specs in (IMAGES, INPUTS))
TOP = (
    TensorSpec("label", "BYTES", (-1,)),
    TensorSpec("score", "FP32", (-1,), classified=True),
    TensorSpec("zero_shot_label", "BYTES", (-1,)),
    TensorSpec("zero_shot_score", "FP32", (-1,), classified=True),
)
OUTPUTS = (*TOP, TensorSpec("scores", "FP32", (-1,), classified=True))  # `scores` only where it is asked for
DATA_TYPES = {"BYTES": oip.TYPE_STRING, "UINT8": oip.TYPE_UINT8, "FP32": oip.TYPE_FP32}


def model_names() -> tuple[str, ...]:
    """All models."""
    return (ANY, EMBED, *(name for name in strategies.names() if name not in (ANY, EMBED)))


def has_model(name: str, version: str) -> bool:
    """Whether there is a model of that name and version; an empty version is the latest."""
    return (name in (ANY, EMBED) or name in strategies) and version in ("", VERSION)


def check_model(name: str, version: str) -> str:
    """The name. Raises `UnknownModel`."""
    if not has_model(name, ""):
        raise UnknownModel(f"no model is called {shorten(name)}; there are {', '.join(model_names())}", "model_name")
    if version not in ("", VERSION):
        raise UnknownModel(f"model {name} has the version {VERSION}, not {shorten(version)}", "model_version")
    return name


def inputs_of(name: str) -> tuple[TensorSpec, ...]:
    """The inputs of a model."""
    return IMAGES if name == EMBED else INPUTS


def datatypes_of(name: str) -> Mapping[str, str]:
    """The datatype of each input of a model, by name."""
    return IMAGE_TYPES if name == EMBED else INPUT_TYPES


def outputs_of(name: str, server_info: ServerInfo) -> tuple[TensorSpec, ...]:
    """The outputs of a model."""
    return (TensorSpec("embedding", "FP32", (server_info.dimension,)),) if name == EMBED else OUTPUTS


def keeps_memory(name: str, server_info: ServerInfo) -> bool:
    """Whether the model learns from one frame of a sequence to the next, as far as its name tells."""
    strategy = server_info.strategy if name == ANY else name
    limits = server_info.limits.parameters
    return name != EMBED and needs_of(strategies.build(strategy, {}, limits)).memory is Scope.SESSION


def make_metadata(name: str, server_info: ServerInfo) -> oip.ModelMetadataResponse:
    """What the model takes and gives."""
    reply = oip.ModelMetadataResponse(name=name, versions=[VERSION], platform=PLATFORM)
    reply.properties.update({"model": server_info.model, "fingerprint": server_info.fingerprint})
    for specs, tensors in ((inputs_of(name), reply.inputs), (outputs_of(name, server_info), reply.outputs)):
        for spec in specs:
            tensors.add(name=spec.name, datatype=spec.datatype, shape=[-1, *spec.dims])
    return reply


def make_config(name: str, server_info: ServerInfo, batch: int, idle: float) -> oip.ModelConfig:
    """The same as Triton configures models. `batch`: the most pictures of a request, `idle`: seconds of a sequence."""
    config = oip.ModelConfig(name=name, platform=PLATFORM, max_batch_size=batch)
    config.model_transaction_policy.decoupled = False
    for spec in inputs_of(name):
        data_type = DATA_TYPES[spec.datatype]
        config.input.add(name=spec.name, data_type=data_type, dims=spec.dims, optional=spec.optional)
    for spec in outputs_of(name, server_info):
        config.output.add(name=spec.name, data_type=DATA_TYPES[spec.datatype], dims=spec.dims)
    if keeps_memory(name, server_info):
        config.sequence_batching.max_sequence_idle_microseconds = round(idle * 1e6)
    return config


def make_index(serving: bool, ready_only: bool) -> oip.RepositoryIndexResponse:
    """All models; with `ready_only` none unless the server is serving."""
    state, reason = ("READY", "") if serving else ("UNAVAILABLE", "the server is not serving")
    reply = oip.RepositoryIndexResponse()
    for name in model_names() if serving or not ready_only else ():
        reply.models.add(name=name, version=VERSION, state=state, reason=reason)
    return reply
