"""Several cameras in one process: a thread and a session for each, one connection for all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

from ..errors import TTAClientError
from ..types.frames import Frame, close_source
from .command import Command, Definition
from .masking import mask_secrets
from .results import ResultCounter

log = logging.getLogger("tta_client")
POLL_SECONDS = 1.0  # between two looks at the file
STOP_SECONDS = 5.0  # for a camera to end


class Camera:
    """A running camera, in a thread that it starts."""

    def __init__(self, name: str, definition: Definition, work: Callable[[Camera], None]) -> None:
        self.name, self.definition, self.arguments = name, definition, definition.arguments
        self.counter, self.stopping, self.failure = ResultCounter(), threading.Event(), ""
        self.thread = threading.Thread(target=work, args=(self,), name=f"camera-{name}", daemon=True)
        self.thread.start()

    def until_stopped(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The frames, until the camera is to end."""
        try:
            for frame in frames:
                if self.stopping.is_set():
                    return
                yield frame
        finally:
            close_source(frames)


class Cameras:
    """Runs the cameras of a command. Those that its file names newly begin, others end, while it runs."""

    def __init__(self, command: Command, run: Callable[[Camera], None], on_end: Callable[[Camera], None]) -> None:
        """`run` shows the answers to a camera's frames, in its thread; `on_end` is called with each that has ended."""
        self._command, self._run, self._on_end = command, run, on_end
        self._running, self._known = dict[str, Camera](), dict[str, Definition]()
        self._complete, self._version = True, command.file_version()

    def run(self) -> bool:
        """Until all have ended; whether none failed. Ctrl-C and SIGTERM end them."""
        self._apply(self._command.cameras)
        try:
            while self._running:
                for camera in list(self._running.values()):
                    camera.thread.join(POLL_SECONDS / len(self._running))
                    if not camera.thread.is_alive():
                        self._end(camera)
                self._follow_file()
        except KeyboardInterrupt:
            self._stop(*self._running.values())
        return self._complete

    def _follow_file(self) -> None:
        """Follow the file, if it has changed."""
        try:
            if (version := self._command.file_version()) != self._version:
                self._version = version
                self._apply(self._command.read_cameras())
        except (ValueError, OSError) as error:
            log.warning("%s; the cameras go on as before", mask_secrets(str(error)))

    def _apply(self, cameras: dict[str, Definition]) -> None:
        self._stop(*[one for name, one in self._running.items() if cameras.get(name) != one.definition])
        for name, definition in cameras.items():
            if definition != self._known.get(name):
                self._running[name] = Camera(name, definition, self._work)
        self._known = cameras

    def _stop(self, *cameras: Camera) -> None:
        for camera in cameras:
            camera.stopping.set()
        for camera in cameras:
            camera.thread.join(STOP_SECONDS)
            self._end(camera)

    def _work(self, camera: Camera) -> None:
        try:
            self._run(camera)
        except (TTAClientError, OSError, ValueError) as error:
            camera.failure = mask_secrets(str(error))
        except Exception as error:  # a defect, which must not look like success; its message may hold a URL
            camera.failure = mask_secrets(f"{type(error).__name__}: {error}")

    def _end(self, camera: Camera) -> None:
        del self._running[camera.name]
        if camera.failure:
            log.warning("camera %s: %s", camera.name, camera.failure)
        self._complete = self._complete and not camera.failure and camera.counter.complete
        self._on_end(camera)
