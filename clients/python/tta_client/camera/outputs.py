"""What happens with one camera's results, besides the screen: events, a video, pictures, a page."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

from ..errors import TTAClientError
from ..statistics import Statistics
from ..types.frames import Frame
from .arguments import Arguments
from .events import Event, EventDetector
from .masking import mask_secrets
from .outbox import Outbox, Spool
from .pictures import NotAPicture
from .results import Result
from .saving import FrameSaver, VideoSaver
from .showing import Show
from .sinks import make_sink
from .sinks.target import name_sink

MAX_KEPT = 64  # frames that wait for their results, as they were before they became JPEGs
log = logging.getLogger("tta_client")


class Output(Protocol):
    """Takes the results of one camera, in their order."""

    def take(self, result: Result, frame: Frame | None) -> None:
        """Called with each result and its frame; None: it is no longer known. Raises OSError."""

    def close(self) -> None:
        """Finishes what is written. Raises OSError."""


class Outputs:
    """All outputs of one camera. One that fails is given up, and the others go on."""

    def __init__(self) -> None:
        self._outputs, self._with_frames = list[Output](), False
        self._frames = deque[Frame](maxlen=MAX_KEPT)
        self.failure = ""  # of the first that failed

    def add(self, output: Output, with_frames: bool = True) -> None:
        """One more output, which sees frames or results alone."""
        self._outputs.append(output)
        self._with_frames |= with_frames

    def keep(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The same frames, of which the last ones are kept until their results come."""
        return map(self._keep, frames) if self._with_frames else frames

    def take(self, result: Result) -> None:
        """Hands a result to every output."""
        frame = None
        while self._frames and self._frames[0].frame_id <= result.frame_id:
            found = self._frames.popleft()
            frame = found if found.frame_id == result.frame_id else None
        for output in list(self._outputs):
            try:
                output.take(result, frame)
            except NotAPicture:
                continue  # its failure is printed
            except Exception as error:  # codecs and disks raise errors of many types, and none stops a camera
                self._give_up(output, error)

    def close(self) -> None:
        """Finishes all that are left."""
        for output in list(self._outputs):
            try:
                output.close()
            except OSError as error:
                self._give_up(output, error)

    def _keep(self, frame: Frame) -> Frame:
        self._frames.append(frame)
        return frame

    def _give_up(self, output: Output, error: Exception) -> None:
        self._outputs.remove(output)
        self.failure = self.failure or mask_secrets(str(error))
        log.warning("%s; the camera goes on without it", mask_secrets(str(error)))


class Alarms:
    """Detects a camera's events, and puts them into the outboxes of its sinks."""

    def __init__(self, arguments: Arguments, statistics: Statistics) -> None:
        """Raises OSError, ValueError."""
        self._detector = EventDetector(arguments.name, arguments.session, arguments.options.smooth is not None)
        self._outboxes = list[Outbox]()
        with ExitStack() as opened:
            for text in arguments.sinks:
                sink = make_sink(text, arguments.name, arguments.labels.names)
                spool = Spool(arguments.spool, arguments.name, text)
                self._outboxes.append(Outbox(sink, spool, name_sink(text)))
                opened.callback(self._outboxes[-1].close)
            opened.pop_all()  # all of them: `close` does it
        statistics.on_loss = lambda what, reason: self._put(self._detector.on_loss(what, reason))
        statistics.on_return = lambda what: self._put(self._detector.on_return(what))

    def take(self, result: Result, frame: Frame | None) -> None:
        """Called with each result."""
        self._put(self._detector.on_result(result))

    def fail(self, reason: str) -> None:
        """The camera ends with an error."""
        self._put(self._detector.on_loss("camera", reason))

    def close(self) -> None:
        """Gives the events a few seconds to leave."""
        for outbox in self._outboxes:
            outbox.end()  # side by side: none waits for those before it
        for outbox in self._outboxes:
            outbox.close()

    def _put(self, events: list[Event]) -> None:
        for event in events:
            for outbox in self._outboxes:
                outbox.put(event.to_json())


@contextmanager
def open_outputs(arguments: Arguments, statistics: Statistics, show: Show | None) -> Iterator[Outputs]:
    """The outputs that the arguments name, which are closed after the block.

    Raises OSError or ValueError for one that cannot be opened, and OSError after the block for one that failed in it.
    """
    outputs = Outputs()
    alarms = Alarms(arguments, statistics) if arguments.sinks else None
    try:
        if alarms is not None:
            outputs.add(alarms, with_frames=False)
        if arguments.save:
            outputs.add(VideoSaver(arguments.save))
        if arguments.save_frames:
            smoothed = arguments.options.smooth is not None
            outputs.add(FrameSaver(arguments.save_frames, arguments.when, arguments.name, smoothed))
        if show is not None:
            outputs.add(show.add(arguments.name))
        yield outputs
    except (TTAClientError, OSError, ValueError) as error:
        if alarms is not None:
            alarms.fail(str(error))
        raise
    finally:
        outputs.close()
    if outputs.failure:
        raise OSError(outputs.failure)
