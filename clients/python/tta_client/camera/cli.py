"""tta-camera: sends the frames of a camera to the service and prints the answers."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import NoReturn

from ..channel import TLS
from ..errors import TTAClientError
from ..sync.client import Client
from ..sync.stream import Stream
from ..types.answers import FrameFailure
from .arguments import Arguments
from .cameras import Camera, Cameras
from .command import Command, parse_command
from .completion import complete_words
from .inference import InferenceServer, infer_frames
from .masking import MaskingFormatter, hide_secrets, mask_secrets
from .outputs import open_outputs
from .parser import build_parser
from .progress import Progress
from .results import Result, ResultCounter
from .screens import Lines, Table, describe_unseen, open_screen
from .showing import Show
from .streaming import open_stream, prepare_frames
from .teaching import Teacher, read_keys
from .text import replace_unencodable


def command() -> NoReturn:
    """The entry point. It skips the interpreter's shutdown, which aborts while a codec still works in a thread."""
    complete_words(build_parser)
    hide_secrets()
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def main(words: list[str] | None = None) -> int:
    """0 when every frame was answered; 1 when a frame, the stream or the source failed, or nothing was answered.

    Ctrl-C and SIGTERM end the stream and print the summary; they are no failure. `words` replace those of `sys.argv`.
    """
    replace_unencodable(sys.stdout, sys.stderr)
    command = parse_command(words)
    handler = logging.StreamHandler()
    handler.setFormatter(MaskingFormatter("tta-camera: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _open_show(command.options) as show, open_screen(command.options.json, sys.stdout) as screen:
            complete = _run_one(command, screen, show) if command.alone else _run_several(command, screen, show)
    except BrokenPipeError:  # the reader of our output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python's last flush must not fail again
        return 1
    except OSError as error:
        print(f"tta-camera: {mask_secrets(str(error))}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, previous)
    return 0 if complete else 1


@contextmanager
def _open_show(options: argparse.Namespace) -> Iterator[Show | None]:
    """The page of --show."""
    if not options.show:
        yield None
        return
    try:
        show = Show(options.show_port)
    except OSError as error:
        raise OSError(f"--show-port {options.show_port}: {error.strerror or error}") from error
    print(f"tta-camera: {show.url}", file=sys.stderr)
    try:
        yield show
    finally:
        show.close()


def _run_one(command: Command, screen: Lines | Table, show: Show | None) -> bool:
    (camera,), counter, failure = command.cameras.values(), ResultCounter(), ""
    try:
        _run(camera.arguments, screen, counter, show)
    except KeyboardInterrupt:
        pass
    except (TTAClientError, OSError, ValueError) as error:
        failure = str(error)
    screen.end(counter)
    if failure:
        print(f"tta-camera: {mask_secrets(failure)}", file=sys.stderr)
    return not failure and counter.complete


def _run_several(command: Command, screen: Lines | Table, show: Show | None) -> bool:
    """A thread for each camera; those of one service share the connection to it."""
    clients, lock = dict[tuple[str, str, TLS | None], Client](), threading.Lock()

    def run(camera: Camera) -> None:
        arguments = camera.arguments
        with lock:
            key = arguments.server, arguments.token, arguments.tls
            client = clients.get(key) or clients.setdefault(key, Client(key[0], token=key[1], tls=key[2]))
        statistics = camera.counter.statistics
        with open_outputs(arguments, statistics, show) as outputs, ExitStack() as stack:
            frames = camera.until_stopped(prepare_frames(arguments, statistics, outputs.keep))
            if arguments.inference:
                server = InferenceServer(arguments.server, arguments.inference, arguments.token, arguments.tls)
                results: Iterable[Result] = infer_frames(frames, server, statistics)
            else:
                results = stack.enter_context(open_stream(client, arguments, frames, statistics))
            for result in results:
                with lock:
                    _show(result, arguments, screen, camera.counter, camera.name)
                outputs.take(result)

    def show_end(camera: Camera) -> None:
        with lock:
            screen.end(camera.counter, camera.name)

    try:
        return Cameras(command, run, show_end).run()
    finally:
        for client in clients.values():
            client.close()


def _run(arguments: Arguments, screen: Lines | Table, counter: ResultCounter, show: Show | None) -> None:
    statistics, progress = counter.statistics, Progress(arguments.source, arguments.frames)
    if isinstance(screen, Table):
        screen.notes = progress.lines
    with open_outputs(arguments, statistics, show) as outputs, ExitStack() as stack:
        frames = prepare_frames(arguments, statistics, outputs.keep)
        if arguments.inference:
            server = InferenceServer(arguments.server, arguments.inference, arguments.token, arguments.tls)
            results = infer_frames(frames, server, statistics)
        else:
            client = stack.enter_context(Client(arguments.server, token=arguments.token, tls=arguments.tls))
            stream = stack.enter_context(open_stream(client, arguments, frames, statistics))
            results = _apply_keys(stream, arguments, client, screen, counter)
        for result in results:
            outputs.take(result)
            progress.add()
            _show(result, arguments, screen, counter)
            if arguments.save and not isinstance(screen, Table) and (line := progress.due_line()):
                print(f"tta-camera: {line}", file=sys.stderr)


def _show(
    result: Result, arguments: Arguments, screen: Lines | Table, counter: ResultCounter, camera: str = ""
) -> None:
    if new := counter.count(result):
        print(f"tta-camera: {describe_unseen(new)}", file=sys.stderr)
    screen.show(result, counter, camera)
    if isinstance(result, FrameFailure) and arguments.strict:
        raise result.error


def _apply_keys(
    stream: Stream, arguments: Arguments, client: Client, screen: Lines | Table, counter: ResultCounter
) -> Iterator[Result]:
    """The results of the stream, which keys correct with --teach."""
    if not arguments.teach:
        yield from stream
        return
    teacher = Teacher(arguments.labels.names, stream, partial(client.unlearn, arguments.session))
    if isinstance(screen, Table):
        screen.notes = teacher.lines
    teacher.report = partial(_report, screen, counter)
    with read_keys(teacher.press):
        for result in stream:
            teacher.see(result)
            yield result


def _report(screen: Lines | Table, counter: ResultCounter, sentence: str) -> None:
    if isinstance(screen, Table):
        screen.refresh(counter)
    else:
        print(f"tta-camera: {sentence}", file=sys.stderr)


if __name__ == "__main__":
    command()
