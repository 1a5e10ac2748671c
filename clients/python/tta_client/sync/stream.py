"""A camera's stream, synchronous: frames go out from one thread, answers come in order in another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from ..errors import TTAClientError, from_rpc, labels_are_gone
from ..protocol.stream_state import NEWS, Course
from ..statistics import Statistics
from ..types.answers import FrameAnswer, FrameFailure, SessionStatus
from ..types.labels import Labels
from ..types.limits import UNLIMITED, Limits
from ..v1 import tta_pb2
from .replies import Replies
from .sender import Feed

Result = FrameAnswer | FrameFailure


@dataclass(frozen=True, slots=True)
class Line:
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

    def __init__(self, line: Line, frames: Iterable[Any], course: Course) -> None:
        self._course = course
        self._answers = _run(line, Feed(course, frames, line.identify, line.limits))

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
        return self._course.session

    @property
    def resume_token(self) -> bytes:
        """Opens the stream again, there or on another service with the same store, once it has said that it leaves."""
        return self._course.resume_token

    @property
    def statistics(self) -> Statistics:
        return self._course.statistics


def _run(line: Line, feed: Feed) -> Generator[Result]:
    """Call after call, until all is answered."""
    feed.start()
    try:
        while True:
            try:
                yield from _call(line, feed)
                goes_on = feed.ended()
            except TTAClientError as error:
                goes_on = yield from _lost(feed, error)
            if not goes_on:
                break
            line.forget()
        yield from feed.due(all=True)
        if feed.failure is not None:
            raise feed.failure
    finally:
        feed.stop()


def _lost(feed: Feed, error: TTAClientError) -> Generator[Result, None, bool]:
    """Whether the stream goes on without the call; what waited for answers that will not come is told first."""
    yield from feed.due(all=not feed.course.blocking)
    try:
        return feed.lost(error)
    except TTAClientError:
        yield from feed.due(all=True)
        raise


def _call(line: Line, feed: Feed) -> Generator[Result]:
    """One call, from its opening to its end. Raises what ended it."""
    ended, replies, reply = _opened(line, feed)
    try:
        feed.opened()
        while reply is not None:
            yield from feed.due() if reply is NEWS else feed.read(reply)
            reply = replies.next()
    except grpc.RpcError as error:
        raise from_rpc(error) from None
    finally:
        feed.end(ended)
        replies.close()


def _opened(line: Line, feed: Feed) -> tuple[threading.Event, Replies, Any]:
    """The end of its request side, its replies and the first of them.

    Registers the labels anew when the service has forgotten them; each attempt has a request side of its own, for
    gRPC's thread may still wait in that of a call which has failed.
    """
    for last in (False, True):
        ended = threading.Event()
        replies = feed.dialled(line.call(feed.requests(line.opening(feed.course.resume_token), ended)))
        try:
            if (reply := replies.next(news=False)) is None:
                raise TTAClientError(grpc.StatusCode.UNKNOWN, "the service closed the stream without a word")
            return ended, replies, reply
        except BaseException as error:
            feed.end(ended)
            replies.close()
            if not isinstance(error, grpc.RpcError):
                raise
            told = from_rpc(error)
            if last or not labels_are_gone(told):
                raise told from None
            line.forget()
    raise AssertionError("unreachable")
