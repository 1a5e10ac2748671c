"""Errors as gRPC statuses: one table, and the google.rpc details that tell a program what a sentence tells a person."""

from __future__ import annotations

import logging
import re

import grpc
import grpc_status.rpc_status
from google.protobuf import any_pb2, message
from google.rpc import error_details_pb2, status_pb2  # pyright: ignore[reportMissingTypeStubs]

from ..core import errors
from .structs import duration

DOMAIN = "tta.v1"
LONGEST = 300  # characters of a sentence: it travels twice in the trailers, and those are limited to a few kB
log = logging.getLogger(__name__)

CODES: dict[type[errors.TTAError], grpc.StatusCode] = {
    errors.BadImage: grpc.StatusCode.INVALID_ARGUMENT,
    errors.BadLabels: grpc.StatusCode.INVALID_ARGUMENT,
    errors.BadParameters: grpc.StatusCode.INVALID_ARGUMENT,
    errors.BadRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnknownStrategy: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnknownReducer: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnknownLabels: grpc.StatusCode.NOT_FOUND,
    errors.UnknownSession: grpc.StatusCode.NOT_FOUND,
    errors.Unsupported: grpc.StatusCode.UNIMPLEMENTED,
    errors.SessionTaken: grpc.StatusCode.ABORTED,
    errors.SessionMoved: grpc.StatusCode.FAILED_PRECONDITION,
    errors.SessionInUse: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.MemoryFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.TooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineTooShort: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.NotReady: grpc.StatusCode.UNAVAILABLE,
    errors.ModelFault: grpc.StatusCode.INTERNAL,
    errors.TTAError: grpc.StatusCode.INTERNAL,
}


def known(error: Exception) -> errors.TTAError:
    """The error in the caller's words. What is not ours is logged with its traceback and told without internals."""
    if isinstance(error, errors.TTAError):
        return error
    log.error("an error that no room foresaw", exc_info=error)
    return errors.ModelFault("the server failed on this request; its log says why")


def code_of(error: errors.TTAError) -> grpc.StatusCode:
    """That of the nearest class in the table."""
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)


def status_of(error: errors.TTAError) -> status_pb2.Status:
    """The whole story: a sentence that names the field, ErrorInfo, and BadRequest and RetryInfo where they apply."""
    said, field = _cut(error.message), _cut(error.field)
    told = status_pb2.Status(code=code_of(error).value[0], message=f"{field}: {said}" if field else said)
    reason = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).upper()
    _add(told, error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))
    if field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=said, reason=reason)
        _add(told, error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_after is not None:
        _add(told, error_details_pb2.RetryInfo(retry_delay=duration(error.retry_after)))
    return told


def grpc_status_of(error: errors.TTAError) -> grpc.Status:
    """The same for `context.abort_with_status`."""
    return grpc_status.rpc_status.to_status(status_of(error))  # pyright: ignore[reportUnknownMemberType]


def _add(told: status_pb2.Status, detail: message.Message) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    told.details.append(packed)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
