"""Decodes files in other processes, which can be ended without harm when a file takes too long or breaks its decoder.

Each process decodes one picture at a time, in `decoder_process.py`. It may take `seconds` of processor time for it, and
as much memory as the largest picture that is allowed; one that does not answer in ten times as many seconds is killed.
Whatever ends a process fails its picture alone, and another process takes its place at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from queue import SimpleQueue

import torch
from torch import Tensor

from ..core.errors import BadImage
from .files import ImageLimits

ANSWER = 1 << 14  # bytes that an answer has at most
PATIENCE = 10  # seconds for each second of processor time: others may need the processors too
STARTING = 60.0  # seconds in which a process begins
KEPT = str(32 << 20)  # bytes that malloc keeps, the most that it can: else it asks the kernel anew for each picture
# NumPy's threads would count as memory of the decoder.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": KEPT, "MALLOC_TRIM_THRESHOLD_": KEPT}


class DecoderPool:
    """So many processes; `decode` may be called from any thread, and waits until one of them is free.

    Raises OSError when they cannot be started.
    """

    def __init__(self, processes: int, seconds: float, limits: ImageLimits) -> None:
        self._seconds = seconds
        self._all = [_Decoder(seconds, limits) for _ in range(processes)]
        self._idle = SimpleQueue[_Decoder]()
        self.ended = Counter[str]({"time": 0, "broken": 0})  # processes that a picture has ended, by how
        for one in self._all:
            one.wait_until_ready()
            self._idle.put(one)

    def decode(self, data: bytes, jpeg_side: int = 0) -> Tensor:
        """[h, w, 3] uint8, as `decode_file`. Raises `BadImage`."""
        decoder = self._idle.get()
        try:
            return decoder.decode(data, jpeg_side)
        except (OSError, ValueError, TypeError) as error:  # no answer, or none that a decoder gives
            late = decoder.restart() or isinstance(error, TimeoutError)
            self.ended["time" if late else "broken"] += 1
            what = f"took more than {self._seconds:g} s of processor time" if late else "broke its decoder"
            raise BadImage(f"the image {what}", "image") from None
        finally:
            self._idle.put(decoder)

    def close(self) -> None:
        """Ends the processes; what they decode is lost."""
        for one in self._all:
            one.end()


class _Decoder:
    """One process and the socket to it."""

    def __init__(self, seconds: float, limits: ImageLimits) -> None:
        self._seconds, self._limits = seconds, limits
        self._memory = os.memfd_create("pixels", os.MFD_CLOEXEC)  # has only the pages that were written
        self._start()

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._ready = False
        bounds = self._limits.max_bytes, self._limits.max_pixels, self._limits.max_side
        given = map(str, (theirs.fileno(), self._memory, self._seconds, *bounds))
        with theirs:
            command = [sys.executable, "-P", "-m", f"{__package__}.decoder_process", *given]
            ours = os.environ | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno(), self._memory], env=ours)

    def wait_until_ready(self) -> None:
        """Raises OSError when the process does not begin."""
        if not self._ready:
            self._socket.settimeout(STARTING)
            if not self._socket.recv(1):
                raise ConnectionError("a process that decodes pictures did not begin")
            self._socket.settimeout(PATIENCE * self._seconds)
            self._ready = True

    def decode(self, data: bytes, jpeg_side: int = 0) -> Tensor:
        """[h, w, 3] uint8. Raises `BadImage`; OSError, ValueError or TypeError when the process gives no answer."""
        self.wait_until_ready()
        self._socket.sendall(len(data).to_bytes(8) + jpeg_side.to_bytes(8))
        self._socket.sendall(data)
        given = json.loads(self._socket.recv(ANSWER))
        if isinstance(given, str):
            raise BadImage(given, "image")
        height, width = given
        self._limits.check_size(width, height)
        pixels = bytearray(3 * height * width)
        left = memoryview(pixels)
        while read := os.preadv(self._memory, [left], len(pixels) - len(left)) if left else 0:
            left = left[read:]
        return torch.frombuffer(pixels, dtype=torch.uint8).view(height, width, 3)

    def restart(self) -> bool:
        """Another process in the place of this one; whether it ended because its time was over."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
        self._kill()
        late = self._process.returncode == -signal.SIGPROF
        self._start()
        return late

    def end(self) -> None:
        """Kills the process, if it has not ended."""
        self._kill()
        os.close(self._memory)

    def _kill(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()
