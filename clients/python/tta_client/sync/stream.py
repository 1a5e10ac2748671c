"""A camera's stream, synchronous: frames go out from one thread, answers come in order in another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from ..errors import TTAClientError, from_rpc, labels_are_gone
from ..protocol.stream_state import FAILURE_DUE, StreamState
from ..statistics import Statistics
from ..types.answers import FrameAnswer, FrameFailure, SessionStatus
from ..types.labels import Labels
from ..types.limits import UNLIMITED, Limits
from ..v1 import tta_pb2
from .replies import Replies
from .sender import Sender

Result = FrameAnswer | FrameFailure


@dataclass(frozen=True, slots=True)
class StreamTransport:
    """How a stream reaches the service."""

    call: Callable[[Iterator[Any]], Any]
    opening: Callable[[bytes], tta_pb2.ClassifyStreamRequest]  # of a resume token
    identify: Callable[[Labels], str]
    forget: Callable[[], None]  # what is known of the service
    limits: Callable[[], Limits] = lambda: UNLIMITED


class Stream:
    """Iterate over it for answers and failures, in the order of the frames. Closing it ends the call.

    `frames` are pulled from a background thread, and only while the service takes them. Raises `TTAClientError` when
    the stream as a whole ends badly, and whatever `frames` raised, after the answers that were still to come.
    """

    def __init__(self, transport: StreamTransport, frames: Iterable[Any], state: StreamState) -> None:
        self._state = state
        self._answers = _run(transport, Sender(state, frames, transport.identify, transport.limits))

    def __iter__(self) -> Iterator[Result]:
        return self._answers

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._answers.close()

    @property
    def session(self) -> SessionStatus | None:
        """What the service said last about the session; None before its first reply."""
        return self._state.session

    @property
    def resume_token(self) -> bytes:
        """Opens the stream again, there or on another service with the same store, once it has said that it leaves."""
        return self._state.resume_token

    @property
    def statistics(self) -> Statistics:
        return self._state.statistics


def _run(transport: StreamTransport, sender: Sender) -> Generator[Result]:
    """Call after call, until all is answered."""
    sender.start()
    try:
        while True:
            try:
                yield from _call(transport, sender)
                another_call = sender.on_call_ended()
            except TTAClientError as error:
                another_call = yield from _call_lost(sender, error)
            if not another_call:
                break
            transport.forget()
        yield from sender.take_failures(all=True)
        if sender.failure is not None:
            raise sender.failure
    finally:
        sender.stop()


def _call_lost(sender: Sender, error: TTAClientError) -> Generator[Result, None, bool]:
    """Whether the stream goes on without the call; what waited for answers that will not come is told first."""
    yield from sender.take_failures(all=not sender.state.blocking)
    try:
        return sender.on_call_lost(error)
    except TTAClientError:
        yield from sender.take_failures(all=True)
        raise


def _call(transport: StreamTransport, sender: Sender) -> Generator[Result]:
    """One call, from its opening to its end. Raises what ended it."""
    ended, replies, reply = _open(transport, sender)
    try:
        sender.on_call_opened()
        while reply is not None:
            yield from sender.take_failures() if reply is FAILURE_DUE else sender.read(reply)
            reply = replies.next()
    except grpc.RpcError as error:
        raise from_rpc(error) from None
    finally:
        sender.end(ended)
        replies.close()


def _open(transport: StreamTransport, sender: Sender) -> tuple[threading.Event, Replies, Any]:
    """The end of its request side, its replies and the first of them.

    Registers the labels anew when the service has forgotten them; each attempt has a request side of its own, for
    gRPC's thread may still wait in that of a call which has failed.
    """
    for last in (False, True):
        ended = threading.Event()
        replies = sender.on_call_started(
            transport.call(sender.requests(transport.opening(sender.state.resume_token), ended))
        )
        try:
            if (reply := replies.next(news=False)) is None:
                raise TTAClientError(grpc.StatusCode.UNKNOWN, "the service closed the stream without a word")
            return ended, replies, reply
        except BaseException as error:
            sender.end(ended)
            replies.close()
            if not isinstance(error, grpc.RpcError):
                raise
            failure = from_rpc(error)
            if last or not labels_are_gone(failure):
                raise failure from None
            transport.forget()
    raise AssertionError("unreachable")
