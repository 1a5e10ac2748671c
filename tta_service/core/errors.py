"""What can go wrong, in the caller's words. Only `rpc/status.py` knows which gRPC status each one becomes."""

from __future__ import annotations


class TTAError(Exception):
    """A refusal with a sentence for the caller.

    `field` is the path of the offending request field ("image", "options.strategy.parameters.views", …), empty when
    no single field is to blame. `retry_after` in seconds says when the same call may succeed, None: never unchanged.
    """

    retry_after: float | None = None

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.message, self.field = message, field

    def at(self, prefix: str) -> TTAError:
        """The same error, its field seen from the outer message: `at("options.strategy")`."""
        self.field = f"{prefix}.{self.field}" if self.field else prefix
        return self


class BadImage(TTAError):
    """The image cannot be decoded, or is over a limit."""


class BadLabels(TTAError):
    """Names or templates that no label set can be made of."""


class UnknownLabels(TTAError):
    """A label set id that this server does not hold; register the set again."""


class UnknownStrategy(TTAError):
    """No strategy of that name in the catalogue."""


class UnknownReducer(TTAError):
    """No reducer of that name in the catalogue."""


class BadParameters(TTAError):
    """A parameter that is unknown, of the wrong type, out of bounds, or that does not go with the rest."""


class BadRequest(TTAError):
    """Any other field of a request that cannot be served as it is (session id, frame id, top_k, …)."""


class Unsupported(TTAError):
    """Well formed, but this server, model or version does not do it."""


class UnknownSession(TTAError):
    """No session of that id belongs to the caller."""


class SessionTaken(TTAError):
    """A newer stream has taken the session over."""


class SessionMoved(TTAError):
    """Another server has taken the session over."""


class SessionInUse(TTAError):
    """A stream or a call has the session now; it can be replaced only while it rests."""


class Overloaded(TTAError):
    """Too many requests wait already. Come back after `retry_after` seconds."""

    def __init__(self, message: str, field: str = "", retry_after: float = 1.0) -> None:
        super().__init__(message, field)
        self.retry_after = retry_after


class MemoryFull(TTAError):
    """A session memory would be over a byte limit."""


class TooLarge(TTAError):
    """The reply would not fit into a message."""


class DeadlineTooShort(TTAError):
    """What was asked for cannot be answered before the deadline."""


class ModelFault(TTAError):
    """The tower or a strategy failed on this request: features that are not finite, an exception in a lane."""


class NotReady(TTAError):
    """Warming up, draining, or the device does not answer."""

    retry_after = 1.0
