"""What threads do for the synchronous client. `aio/runtime.py` has the same names, for tasks of an event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import Any, TypeVar

import grpc

from ..channel import make_options
from ..errors import TTAClientError, from_rpc
from ..types.frames import close_source
from ..v1 import tta_pb2_grpc

T = TypeVar("T")
Frames = Iterable[Any]
Condition = threading.Condition
END: Any = object()
open_source, end_source = iter, close_source


class Future(futures.Future[T]):
    """A future that cannot be cancelled: what it waits for may be on its way."""

    def __init__(self) -> None:
        super().__init__()
        self.set_running_or_notify_cancel()


class Workers:
    """Daemon threads, which end by themselves: a thread cannot be cancelled."""

    def start(self, *functions: Callable[[], Any]) -> None:
        """Runs each function in a thread of its own."""
        for function in functions:
            name = f"tta_client-{function.__name__.strip('_')}"
            threading.Thread(target=function, name=name, daemon=True).start()

    def stop(self) -> None: ...

    def is_stopping(self, error: BaseException) -> bool:
        """Whether a worker was cancelled."""
        return False


class Channels:
    """The one channel, and the stub on it."""

    def __init__(self, target: str, credentials: grpc.ChannelCredentials | None) -> None:
        options = make_options(target)
        channel = (
            grpc.secure_channel(target, credentials, options) if credentials else grpc.insecure_channel(target, options)
        )
        self._pair = channel, tta_pb2_grpc.AdaptationServiceStub(channel)

    def get(self) -> tuple[Any, Any]:
        """The channel and the stub."""
        return self._pair


def read_reply(replies: Iterator[Any]) -> Any:
    """The next reply of a call; None after the last."""
    return next(replies, None)


class CallStatus:
    """The final status of a call."""

    def __init__(self, running: Any) -> None:
        self._running = running

    def error(self) -> TTAClientError:
        """The error of that status."""
        return from_rpc(self._running)
