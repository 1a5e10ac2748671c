"""The one error of this package, read off a gRPC status and its google.rpc details."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

_TRANSIENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
CODES = {code.value[0]: code for code in grpc.StatusCode}


class TTAClientError(Exception):
    """A call, or one frame of a stream, that got no answer.

    `code` is the gRPC status code, `sentence` what to tell a person, `field` the path of the request field to blame
    (empty: none), `retry_after` seconds until the same call may succeed (None: the server did not say).
    """

    def __init__(self, code: grpc.StatusCode, sentence: str, field: str = "", retry_after: float | None = None) -> None:
        unsaid = field and not sentence.startswith(f"{field}:")
        super().__init__(f"{code.name}: {sentence}" + (f" [{field}]" if unsaid else ""))
        self.code, self.sentence, self.field, self.retry_after = code, sentence, field, retry_after

    @property
    def transient(self) -> bool:
        """True when the very same call may succeed later.

        A proxy that loses its server says CANCELLED, or resets the stream, which gRPC calls INTERNAL or UNKNOWN.
        """
        reset = "RST_STREAM" in self.sentence or "Stream removed" in self.sentence
        return reset or self.retry_after is not None or self.code in _TRANSIENT

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, self.sentence, self.field, self.retry_after)


class Refused(TTAClientError, ValueError):
    """What the client does not send, because no service could take it."""


def make_refusal(sentence: str, field: str) -> Refused:
    """In the words that the service would have used."""
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, f"{field}: {sentence}" if field else sentence, field)


@contextmanager
def blame_field(field: str) -> Iterator[None]:
    """Whatever is raised inside becomes a `TTAClientError` that names `field`, or a field below it.

    What passes by itself is no fault of any field, and stays as it is.
    """
    try:
        yield
    except TTAClientError as error:
        if is_retryable(error) or error.field.startswith(field):
            raise
        where = f"{field}.{error.field}" if error.field else field
        said = error.sentence.removeprefix(f"{error.field}: ")
        raise type(error)(error.code, f"{where}: {said}", where, error.retry_after) from error
    except OSError as error:
        raise make_refusal(f"{error.filename}: {error.strerror}" if error.filename else str(error), field) from error
    except Exception as error:
        raise make_refusal(str(error) or type(error).__name__, field) from error


def is_retryable(error: TTAClientError) -> bool:
    """Whether it is worth another attempt: that of registering labels ends with its deadline where nobody answers."""
    return error.transient or error.code is grpc.StatusCode.DEADLINE_EXCEEDED


def from_rpc(error: Any) -> TTAClientError:
    """The error of a failed call, of the sync or the async stack."""
    return from_ending(error.code() or grpc.StatusCode.UNKNOWN, error.details(), error.trailing_metadata())


def from_ending(code: grpc.StatusCode, details: str | None, metadata: Any) -> TTAClientError:
    """The error that a call ended with."""
    for key, value in metadata or ():
        if key == "grpc-status-details-bin":
            return from_status(status_pb2.Status.FromString(value))
    return TTAClientError(code, details or "the call failed")


def from_status(status: status_pb2.Status) -> TTAClientError:
    """The error inside a google.rpc.Status, a stream's in-band form."""
    bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    field, retry_after = "", None
    for detail in status.details:
        if detail.Unpack(bad) and bad.field_violations:
            field = bad.field_violations[0].field
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    return TTAClientError(CODES.get(status.code, grpc.StatusCode.UNKNOWN), status.message, field, retry_after)


def labels_are_gone(error: TTAClientError) -> bool:
    """True when the server does not know the label set id: it was restarted, or somebody deleted the set."""
    return error.code is grpc.StatusCode.NOT_FOUND and ("label" in error.field or not error.field)
