"""What happens with one camera's results, besides the screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

from ..errors import TTAClientError
from ..statistics import Statistics
from .arguments import Arguments
from .events import Event, EventDetector
from .masking import mask_secrets
from .outbox import Outbox, Spool
from .results import Result
from .sinks import make_sink


class Output(Protocol):
    """Takes the results of one camera, in their order."""

    def take(self, result: Result) -> None:
        """Called with each result."""


class Alarms:
    """Detects a camera's events, and puts them into the outboxes of its sinks."""

    def __init__(self, arguments: Arguments, statistics: Statistics, outboxes: list[Outbox]) -> None:
        self._detector = EventDetector(arguments.name, arguments.session, arguments.options.smooth is not None)
        self._outboxes = outboxes
        statistics.on_loss = lambda what, reason: self._put(self._detector.on_loss(what, reason))
        statistics.on_return = lambda what: self._put(self._detector.on_return(what))

    def take(self, result: Result) -> None:
        """Called with each result."""
        self._put(self._detector.on_result(result))

    def fail(self, reason: str) -> None:
        """The camera ends with an error."""
        self._put(self._detector.on_loss("camera", reason))

    def _put(self, events: list[Event]) -> None:
        for event in events:
            for outbox in self._outboxes:
                outbox.put(event.to_json())


@contextmanager
def open_outputs(arguments: Arguments, statistics: Statistics) -> Iterator[list[Output]]:
    """The outputs that the arguments name, which are closed after the block. Raises OSError, ValueError."""
    with ExitStack() as stack:
        outputs = list[Output]()
        alarms = _open_alarms(arguments, statistics, stack) if arguments.sinks else None
        if alarms:
            outputs.append(alarms)
        try:
            yield outputs
        except (TTAClientError, OSError, ValueError) as error:
            if alarms:
                alarms.fail(str(error))
            raise


def _open_alarms(arguments: Arguments, statistics: Statistics, stack: ExitStack) -> Alarms:
    outboxes = list[Outbox]()
    for text in arguments.sinks:
        sink = make_sink(text, arguments.name, arguments.labels.names)
        spool = Spool(arguments.spool, arguments.name, text)
        outboxes.append(Outbox(sink, spool, mask_secrets(text.partition("#")[0])))
        stack.callback(outboxes[-1].close)
    return Alarms(arguments, statistics, outboxes)
