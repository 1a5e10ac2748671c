"""A camera's stream, synchronous: frames go out from one thread, answers come in order in another."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import grpc

from .answers import FrameAnswer, FrameFailure, SessionStatus
from .errors import TTAClientError, from_rpc, labels_are_gone
from .flight import Flight
from .frames import frame_message, let_go
from .labels import Labels
from .v1 import tta_pb2

Opening = Callable[[bool], tta_pb2.ClassifyStreamRequest]
"""The opening message; True: the service did not know the label set of the last one."""
Identify = Callable[[Labels], str]
Call = Callable[[Iterator[Any]], Any]


class Stream:
    """Iterate over it for answers and failures, in the order of the frames. Closing it ends the call.

    `frames` are pulled from a background thread, and only while the service takes them. Raises `TTAClientError` when
    the stream as a whole ends badly, and whatever `frames` raised, after the answers that were still to come.
    """

    def __init__(
        self,
        call: Call,
        opening: Opening,
        identify: Identify,
        frames: Iterable[Any],
        in_flight: int | None,
    ) -> None:
        self._flight = Flight(in_flight)
        self._answers = _run(call, opening, identify, frames, self._flight)

    def __iter__(self) -> Iterator[FrameAnswer | FrameFailure]:
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
        return self._flight.session

    @property
    def resume_token(self) -> bytes:
        """Opens the stream again, there or on another service with the same store, once it has said that it leaves."""
        return self._flight.resume_token


class _Outgoing:
    """The request side: the opening message, then, once the service has replied to it, frame after frame."""

    def __init__(self, flight: Flight, identify: Identify, frames: Iterable[Any]) -> None:
        self.flight = flight
        self.failure: Exception | None = None
        self._identify, self._frames = identify, frames
        self._moved = threading.Condition()
        self._open = self._over = False

    def requests(self, opening: tta_pb2.ClassifyStreamRequest) -> Iterator[tta_pb2.ClassifyStreamRequest]:
        yield opening
        with self._moved:
            self._moved.wait_for(lambda: self._open or self._over)
        if not self._over:
            try:
                yield from self._frame_requests()
            except Exception as error:  # gRPC would only say "Exception iterating requests!"
                self.failure = error

    def _frame_requests(self) -> Iterator[tta_pb2.ClassifyStreamRequest]:
        frames = iter(self._frames)
        try:
            while self._room():
                try:
                    frame = self.flight.frame(next(frames))
                except StopIteration:
                    return
                message = frame_message(frame, "" if frame.labels is None else self._identify(frame.labels))
                with self._moved:
                    if self._over:
                        return
                    self.flight.enter(frame)
                yield message
        finally:
            let_go(frames)

    def _room(self) -> bool:
        with self._moved:
            self._moved.wait_for(lambda: self._over or not self.flight.full)
            return not self._over

    def read(self, reply: tta_pb2.ClassifyStreamResponse) -> FrameAnswer | FrameFailure | None:
        with self._moved:
            self._open = True
            result = self.flight.read(reply)
            self._moved.notify_all()
            return result

    def stop(self) -> None:
        with self._moved:
            self._over = True
            self._moved.notify_all()


def _run(call: Call, opening: Opening, identify: Identify, frames: Iterable[Any],
         flight: Flight) -> Generator[FrameAnswer | FrameFailure]:  # fmt: skip
    out, running, first = _opened(call, opening, lambda: _Outgoing(flight, identify, frames))
    try:
        for reply in itertools.chain((first,), running):
            result = out.read(reply)
            if result is not None:
                yield result
    except grpc.RpcError as error:
        raise from_rpc(error) from None
    finally:
        out.stop()
        running.cancel()
    if out.failure is not None:
        raise out.failure


def _opened(call: Call, opening: Opening, outgoing: Callable[[], _Outgoing]) -> tuple[_Outgoing, Any, Any]:
    """The request side, the running call and its first reply.

    Registers the labels anew when the service has forgotten them; each attempt has a request side of its own, for
    gRPC's thread may still wait in that of a call which has failed.
    """
    for again in (False, True):
        out = outgoing()
        running = call(out.requests(opening(again)))
        try:
            return out, running, next(running)
        except BaseException as error:
            out.stop()
            running.cancel()
            if isinstance(error, StopIteration):
                told = TTAClientError(grpc.StatusCode.UNKNOWN, "the service closed the stream without a word")
            elif isinstance(error, grpc.RpcError):
                told = from_rpc(error)
            else:
                raise
            if again or not labels_are_gone(told):
                raise told from None
    raise AssertionError("unreachable")
