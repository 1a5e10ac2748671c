"""The error of this package, parsed from a gRPC status and its google.rpc details."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

_TRANSIENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
CODES = {code.value[0]: code for code in grpc.StatusCode}


class TTAClientError(Exception):
    """A call, or one frame of a stream, failed.

    `code` is the gRPC status code, `sentence` the explanation for a person, `field` the path of the request's wrong
    field (empty: none), `retry_after` the seconds until the same call may succeed (None: unknown).
    """

    def __init__(self, code: grpc.StatusCode, sentence: str, field: str = "", retry_after: float | None = None) -> None:
        add_field = field and not sentence.startswith(f"{field}:")
        super().__init__(f"{code.name}: {sentence}" + (f" [{field}]" if add_field else ""))
        self.code, self.sentence, self.field, self.retry_after = code, sentence, field, retry_after

    @property
    def transient(self) -> bool:
        """Whether the same call may succeed later.

        A proxy that loses its server answers CANCELLED, or resets the stream, which gRPC calls INTERNAL or UNKNOWN.
        """
        reset = "RST_STREAM" in self.sentence or "Stream removed" in self.sentence
        return reset or self.retry_after is not None or self.code in _TRANSIENT

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, self.sentence, self.field, self.retry_after)


class Refused(TTAClientError, ValueError):
    """A request that the client does not send, because every service would refuse it."""


def make_refusal(sentence: str, field: str) -> Refused:
    """The error for a wrong field, in the service's form: its path, a colon, the sentence."""
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, f"{field}: {sentence}" if field else sentence, field)


@contextmanager
def blame_field(field: str) -> Iterator[None]:
    """Turns every exception of the block into a `TTAClientError` that names `field`, or a field below it.

    A retryable error is no fault of a field and stays as it is.
    """
    try:
        yield
    except TTAClientError as error:
        if is_retryable(error) or error.field.startswith(field):
            raise
        where = f"{field}.{error.field}" if error.field else field
        sentence = error.sentence.removeprefix(f"{error.field}: ")
        raise type(error)(error.code, f"{where}: {sentence}", where, error.retry_after) from error
    except OSError as error:
        raise make_refusal(f"{error.filename}: {error.strerror}" if error.filename else str(error), field) from error
    except Exception as error:
        raise make_refusal(str(error) or type(error).__name__, field) from error


def is_retryable(error: TTAClientError) -> bool:
    """Whether to dial again. That includes DEADLINE_EXCEEDED, with which a call to a lost server ends."""
    return error.transient or error.code is grpc.StatusCode.DEADLINE_EXCEEDED


def from_rpc(error: Any) -> TTAClientError:
    """The error of a failed call, of gRPC's sync or async stack."""
    return from_ending(error.code() or grpc.StatusCode.UNKNOWN, error.details(), error.trailing_metadata())


def from_ending(code: grpc.StatusCode, details: str | None, metadata: Any) -> TTAClientError:
    """The error of a call's final status, with its trailing metadata."""
    for key, value in metadata or ():
        if key == "grpc-status-details-bin":
            return from_status(status_pb2.Status.FromString(value))
    return TTAClientError(code, details or "the call failed")


def from_status(status: status_pb2.Status) -> TTAClientError:
    """The error inside a google.rpc.Status, the form in which a stream carries the error of one frame."""
    bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    field, retry_after = "", None
    for detail in status.details:
        if detail.Unpack(bad) and bad.field_violations:
            field = bad.field_violations[0].field
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    return TTAClientError(CODES.get(status.code, grpc.StatusCode.UNKNOWN), status.message, field, retry_after)


def labels_are_gone(error: TTAClientError) -> bool:
    """Whether the server does not know the label set: it was restarted, or the set was deleted."""
    return error.code is grpc.StatusCode.NOT_FOUND and ("label" in error.field or not error.field)
