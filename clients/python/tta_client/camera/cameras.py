"""Several cameras in one process: a thread and a session for each, one connection for all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

from ..errors import TTAClientError
from ..types.frames import Frame, close_source
from .command import Command, Named
from .masking import mask_secrets
from .results import ResultCounter

log = logging.getLogger("tta_client")
LOOK = 1.0  # seconds between two looks at the file
PATIENCE = 5.0  # seconds for a camera to end


class Camera:
    """One camera at work, in a thread that it starts."""

    def __init__(self, name: str, named: Named, work: Callable[[Camera], None]) -> None:
        self.name, self.named, self.arguments = name, named, named.arguments
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

    def __init__(self, command: Command, run: Callable[[Camera], None], ended: Callable[[Camera], None]) -> None:
        """`run` shows the answers to a camera's frames, in its thread; `ended` is told of each that has ended."""
        self._command, self._run, self._ended = command, run, ended
        self._at_work, self._known = dict[str, Camera](), dict[str, Named]()
        self._complete, self._seen = True, command.file_version()

    def run(self) -> bool:
        """Until all have ended; whether none failed. Ctrl-C and SIGTERM end them."""
        self._adopt(self._command.cameras)
        try:
            while self._at_work:
                for camera in list(self._at_work.values()):
                    camera.thread.join(LOOK / len(self._at_work))
                    if not camera.thread.is_alive():
                        self._end(camera)
                self._look()
        except KeyboardInterrupt:
            self._stop(*self._at_work.values())
        return self._complete

    def _look(self) -> None:
        """Follow the file, if it has changed."""
        try:
            if (version := self._command.file_version()) != self._seen:
                self._seen = version
                self._adopt(self._command.read_cameras())
        except (ValueError, OSError) as error:
            log.warning("%s; the cameras go on as before", mask_secrets(str(error)))

    def _adopt(self, cameras: dict[str, Named]) -> None:
        self._stop(*[one for name, one in self._at_work.items() if cameras.get(name) != one.named])
        for name, named in cameras.items():
            if named != self._known.get(name):
                self._at_work[name] = Camera(name, named, self._work)
        self._known = cameras

    def _stop(self, *cameras: Camera) -> None:
        for camera in cameras:
            camera.stopping.set()
        for camera in cameras:
            camera.thread.join(PATIENCE)
            self._end(camera)

    def _work(self, camera: Camera) -> None:
        try:
            self._run(camera)
        except (TTAClientError, OSError, ValueError) as error:
            camera.failure = mask_secrets(str(error))

    def _end(self, camera: Camera) -> None:
        del self._at_work[camera.name]
        if camera.failure:
            log.warning("camera %s: %s", camera.name, camera.failure)
        self._complete = self._complete and not camera.failure and camera.counter.complete
        self._ended(camera)
