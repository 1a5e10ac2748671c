"""Sums of lessons: from messages to core values and back."""

from __future__ import annotations

import math

import numpy as np
import torch

from ..core.errors import BadRequest, TooLarge
from ..core.lesson_sums import LessonSums, Noise
from ..core.lessons import SumsRequest
from ..core.parameters import shorten
from ..serving.sessions.session import check_session_id
from .catalogue import make_label_set
from .lessons import check_number
from .options import parse_reduction
from .requests import LabelLookup, parse_label_set, parse_labels
from .responses import make_reduction
from .server_info import ServerInfo
from .v1 import tta_pb2 as pb

EPSILON, DELTA, CLIP = (1e-3, 100.0), (1e-15, 0.1), (0.01, 1.0)  # least and most
LESSONS = 10**9  # of a class


def parse_sums_request(
    message: pb.GetLessonSumsRequest, find_labels: LabelLookup, server_info: ServerInfo
) -> SumsRequest:
    """Which sums are asked for. Raises `TTAError` that names the field."""
    labels, noise = None, _parse_noise(message)
    if message.HasField("labels"):
        labels = parse_labels(message.labels, find_labels, server_info, "labels")
    elif noise or message.HasField("reduction") or message.client_features:
        raise BadRequest("of which label set? with noise or of one reduction there are no sums of all", "labels")
    if message.client_features and message.HasField("reduction"):
        raise BadRequest("features that clients sent have no reduction", "client_features")
    reductions = ()
    if message.client_features:
        reductions = (None,)
    elif noise or message.HasField("reduction"):
        reductions = (parse_reduction(message.reduction, server_info, "reduction"),)
    return SumsRequest(labels, reductions, server_info.dimension, noise)


def parse_sums(message: pb.PutLessonSumsRequest, server_info: ServerInfo) -> tuple[str, tuple[LessonSums, ...]]:
    """The site, and what it tells. Raises `TTAError` that names the field."""
    if not message.site:
        raise BadRequest("which site gives these sums?", "site")
    site, sums = check_session_id(message.site, "site", "a site's name"), list[LessonSums]()
    check_number(len(message.sums), "sums", server_info)
    for place, one in enumerate(message.sums):
        parsed = _parse_one(one, server_info, f"sums[{place}]")
        if any(other.concerns(parsed.labels.id, parsed.reduction) for other in sums):
            raise BadRequest("there are sums of this label set and reduction already: add them up", f"sums[{place}]")
        sums.append(parsed)
    return site, tuple(sums)


def make_sums(sums: list[LessonSums], given: Noise, server_info: ServerInfo) -> pb.GetLessonSumsResponse:
    """The reply with sums, and what privacy was given up by now. Raises `TooLarge`."""
    reply = pb.GetLessonSumsResponse(epsilon_given=given.epsilon, delta_given=given.delta)
    for one in sums:
        upper = one.scatter[tuple(torch.triu_indices(*one.scatter.shape))]
        message = reply.sums.add(
            label_set=make_label_set(one.labels),
            model=server_info.fingerprint,
            dimension=one.sums.shape[1],
            counts=map(int, one.counts),
            sums=one.sums.numpy().astype("<f4").tobytes(),
            scatter=upper.numpy().astype("<f4").tobytes(),
            epsilon=one.epsilon,
            delta=one.delta,
        )
        if one.reduction is not None:
            message.reduction.CopyFrom(make_reduction(one.reduction))
    if (size := reply.ByteSize()) > (most := server_info.limits.message_bytes):
        raise TooLarge(f"these sums take {size} bytes, a message at most {most}: name one label set", "labels")
    return reply


def _parse_noise(message: pb.GetLessonSumsRequest) -> Noise | None:
    if message.epsilon == 0:
        for field in ("delta", "clip"):
            if getattr(message, field) != 0:
                raise BadRequest("without epsilon there is no noise, and this says nothing", field)
        return None
    given = {"epsilon": message.epsilon, "delta": message.delta, "clip": message.clip or 1.0}
    for (field, value), (least, most) in zip(given.items(), (EPSILON, DELTA, CLIP), strict=True):
        if not least <= value <= most:
            raise BadRequest(f"{value:g} is not within {least:g} and {most:g}", field)
    return Noise(**given)


def _parse_one(message: pb.LessonSums, server_info: ServerInfo, path: str) -> LessonSums:
    labels = parse_label_set(message.label_set, server_info, f"{path}.label_set")
    reduction = None
    if message.HasField("reduction"):
        reduction = parse_reduction(message.reduction, server_info, f"{path}.reduction")
    if message.model != (model := server_info.fingerprint):
        raise BadRequest(f"these sums are of model {shorten(message.model)}; this server's is {model}", f"{path}.model")
    if message.dimension != (d := server_info.dimension):
        raise BadRequest(f"dimension is {message.dimension}; the model's is {d}", f"{path}.dimension")
    if len(message.counts) != (c := len(labels.names)):
        raise BadRequest(f"{len(message.counts)} counts for {c} labels", f"{path}.counts")
    if max(message.counts) > LESSONS:
        raise BadRequest(f"{max(message.counts)} lessons of a class; at most {LESSONS} are believed", f"{path}.counts")
    for field, most in (("epsilon", math.inf), ("delta", 1.0)):
        if not (0 <= getattr(message, field) <= most and math.isfinite(getattr(message, field))):
            raise BadRequest(f"{getattr(message, field):g} is no {field} of differential privacy", f"{path}.{field}")
    sums = _parse_floats(message.sums, c * d, "labels × dimension × 4", f"{path}.sums").view(c, d)
    upper = torch.zeros(d, d)
    upper[tuple(torch.triu_indices(d, d))] = _parse_floats(
        message.scatter, d * (d + 1) // 2, "dimension × (dimension + 1) / 2 × 4", f"{path}.scatter"
    )
    scatter, counts = upper + upper.triu(1).T, torch.tensor(list(message.counts), dtype=torch.int64)
    return LessonSums(labels, reduction, counts, sums, scatter, message.epsilon, message.delta)


def _parse_floats(data: bytes, number: int, formula: str, path: str) -> torch.Tensor:
    if len(data) != number * 4:
        raise BadRequest(f"{len(data)} bytes; {formula} is {number * 4}", path)
    return torch.as_tensor(np.frombuffer(data, dtype="<f4").astype(np.float32))
