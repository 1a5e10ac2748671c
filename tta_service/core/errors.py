"""Errors with a sentence for the caller. `wire/status.py` maps each one to a status of the transport."""

from __future__ import annotations

from typing import Self


class TTAError(Exception):
    """The base of all errors that are meant for the caller.

    `field` is the path of the offending request field ("image", "options.strategy.parameters.views", …), empty when
    no single field is at fault. `retry_after` is the time in seconds until the same call may succeed; None: the call
    has to change first. `quota` is the setting that bounds what one client may have, if that is used up.
    """

    retry_after: float | None = None
    quota: str = ""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.message, self.field = message, field

    def of_quota(self, setting: str) -> Self:
        """Names the setting that bounds what one client may have; gives the error back."""
        self.quota = setting
        return self

    def at(self, prefix: str) -> TTAError:
        """Prefix the field with the path of an outer message, as in `at("options.strategy")`; gives the error back."""
        self.field = f"{prefix}.{self.field}" if self.field else prefix
        return self


class BadImage(TTAError):
    """The image cannot be decoded, or is over a limit."""


class BadLabels(TTAError):
    """Names or templates that do not form a label set."""


class UnknownLabels(TTAError):
    """This server does not hold a label set of that id. Register the set again."""


class UnknownExample(TTAError):
    """The session remembers no such frame, call or picture."""


class UnknownModel(TTAError):
    """No model of that name or version, by the names of the Open Inference Protocol."""


class UnknownStrategy(TTAError):
    """No strategy of that name in the catalogue."""


class UnknownReducer(TTAError):
    """No reducer of that name in the catalogue."""


class BadParameters(TTAError):
    """A parameter is unknown, of the wrong type, out of bounds, or incompatible with another."""


class BadRequest(TTAError):
    """Another field of the request is invalid (session id, frame id, top_k, …)."""


class Unauthenticated(TTAError):
    """The caller does not say who it is, or does not prove it."""


class PermissionDenied(TTAError):
    """The caller is known, and its role does not allow this."""


class Unsupported(TTAError):
    """The request is valid, but this server, model or version does not support it."""


class UnknownSession(TTAError):
    """The caller has no session of that id."""


class UnknownGroup(TTAError):
    """The caller has no lesson group of that name."""


class SessionTaken(TTAError):
    """A newer stream has taken the session over."""


class SessionMoved(TTAError):
    """Another server has taken the session over."""


class NewerFormat(TTAError):
    """A newer version of the service wrote it. It stays as it is, and can be used once this server is upgraded."""


class SessionInUse(TTAError):
    """A stream or a call uses the session now. It can be replaced only while it is idle."""


class OlderSnapshot(TTAError):
    """The session has gone on since, and nobody has said that this may be lost."""


class Overloaded(TTAError):
    """Too many requests are queued. The call may be repeated after `retry_after` seconds."""

    def __init__(self, message: str, field: str = "", retry_after: float = 1.0) -> None:
        super().__init__(message, field)
        self.retry_after = retry_after


class MemoryFull(TTAError):
    """A session's memory or lesson would exceed a byte limit, or there are too many sessions."""


class TooLarge(TTAError):
    """The reply would exceed the size limit of a message."""


class DeadlineTooShort(TTAError):
    """The request cannot be answered before its deadline."""


class ModelFault(TTAError):
    """The image tower or the strategy failed on this request: non-finite features, or an exception."""


class NotReady(TTAError):
    """The server is warming up or draining, or its device does not answer."""

    retry_after = 1.0
