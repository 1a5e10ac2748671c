"""Errors for every transport: one table of codes, and google.rpc details for programs beside the sentences."""

from __future__ import annotations

import logging
import re

from google.protobuf import any_pb2, message
from google.rpc import code_pb2, error_details_pb2, status_pb2  # pyright: ignore[reportMissingTypeStubs]

from ..core import errors
from .well_known import to_duration

DOMAIN = "tta.v1"
LONGEST = 300  # characters of a sentence: it travels twice in the trailers, and those are limited to a few kB
log = logging.getLogger(__name__)

CODES: dict[type[errors.TTAError], int] = {
    errors.BadImage: code_pb2.INVALID_ARGUMENT,
    errors.BadLabels: code_pb2.INVALID_ARGUMENT,
    errors.BadParameters: code_pb2.INVALID_ARGUMENT,
    errors.BadRequest: code_pb2.INVALID_ARGUMENT,
    errors.UnknownStrategy: code_pb2.INVALID_ARGUMENT,
    errors.UnknownReducer: code_pb2.INVALID_ARGUMENT,
    errors.Unauthenticated: code_pb2.UNAUTHENTICATED,
    errors.PermissionDenied: code_pb2.PERMISSION_DENIED,
    errors.UnknownLabels: code_pb2.NOT_FOUND,
    errors.UnknownSession: code_pb2.NOT_FOUND,
    errors.UnknownGroup: code_pb2.NOT_FOUND,
    errors.UnknownExample: code_pb2.NOT_FOUND,
    errors.UnknownModel: code_pb2.NOT_FOUND,
    errors.Unsupported: code_pb2.UNIMPLEMENTED,
    errors.SessionTaken: code_pb2.ABORTED,
    errors.SessionMoved: code_pb2.FAILED_PRECONDITION,
    errors.NewerFormat: code_pb2.FAILED_PRECONDITION,
    errors.SessionInUse: code_pb2.FAILED_PRECONDITION,
    errors.OlderSnapshot: code_pb2.FAILED_PRECONDITION,
    errors.Overloaded: code_pb2.RESOURCE_EXHAUSTED,
    errors.MemoryFull: code_pb2.RESOURCE_EXHAUSTED,
    errors.TooLarge: code_pb2.RESOURCE_EXHAUSTED,
    errors.DeadlineTooShort: code_pb2.DEADLINE_EXCEEDED,
    errors.NotReady: code_pb2.UNAVAILABLE,
    errors.ModelFault: code_pb2.INTERNAL,
    errors.TTAError: code_pb2.INTERNAL,
}
HTTP_CODES: dict[int, int] = {  # of gRPC's codes, as google/rpc/code.proto maps them
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.FAILED_PRECONDITION: 400,
    code_pb2.UNAUTHENTICATED: 401,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.NOT_FOUND: 404,
    code_pb2.ABORTED: 409,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.INTERNAL: 500,
    code_pb2.UNIMPLEMENTED: 501,
    code_pb2.UNAVAILABLE: 503,
    code_pb2.DEADLINE_EXCEEDED: 504,
}


def to_tta_error(error: Exception) -> errors.TTAError:
    """The error for the caller. Any other exception is logged with its traceback and becomes a plain `ModelFault`."""
    if isinstance(error, errors.TTAError):
        return error
    log.error("unexpected error", exc_info=error)
    return errors.ModelFault("the server failed on this request; its log says why")


def code_number_of(error: errors.TTAError) -> int:
    """The gRPC code (google.rpc.Code) of the nearest class in the table."""
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)


def http_code_of(error: errors.TTAError) -> int:
    """The HTTP code of the nearest class in the table; what is too large does not become smaller with time."""
    return 413 if isinstance(error, errors.TooLarge) else HTTP_CODES[code_number_of(error)]


def to_status(error: errors.TTAError) -> status_pb2.Status:
    """The whole status: a sentence that names the field, ErrorInfo, and the other details of google.rpc that apply."""
    field, reason = _shorten(error.field), reason_of(error)
    status = status_pb2.Status(code=code_number_of(error), message=sentence_of(error))
    _add_detail(status, error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))
    if field:
        sentence = _sentence_after(error)
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=sentence, reason=reason)
        _add_detail(status, error_details_pb2.BadRequest(field_violations=[violation]))
    if error.quota:
        broken = error_details_pb2.QuotaFailure.Violation(subject=error.quota, description=sentence_of(error))
        _add_detail(status, error_details_pb2.QuotaFailure(violations=[broken]))
    if error.retry_after is not None:
        _add_detail(status, error_details_pb2.RetryInfo(retry_delay=to_duration(error.retry_after)))
    return status


def sentence_of(error: errors.TTAError) -> str:
    """The sentence for people, which begins with the field if there is one."""
    sentence = _sentence_after(error)
    return f"{_shorten(error.field)}: {sentence}" if error.field else sentence


def reason_of(error: errors.TTAError) -> str:
    """The error's kind for programs, such as BAD_IMAGE."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).upper()


def _sentence_after(error: errors.TTAError) -> str:
    """The sentence to put after the field: without the name that it begins with where no path stands before it."""
    return _shorten(error.message.removeprefix(f"{error.field.rpartition('.')[2]}: "))


def _add_detail(status: status_pb2.Status, detail: message.Message) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
