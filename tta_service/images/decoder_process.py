"""The process that decodes pictures for `decoders.py`: Pillow and NumPy, little memory, little time.

python -m tta_service.images.decoder_process SOCKET MEMORY SECONDS BYTES PIXELS SIDE

It writes a byte when ready. Of each picture it reads the length of the file and the `jpeg_side`, eight bytes each, and
the file, and answers with JSON: the sides of the pixels, which are then in the file MEMORY, or what is wrong. It ends
when the other end of the socket is closed, and the kernel ends it when one picture takes more processor time than
allowed.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys

from ..core.errors import BadImage
from .files import ImageLimits, decode_file

BYTES_OF_A_PIXEL = 40  # at the peak of the dearest format, and some more
OTHER_BYTES = 64 << 20  # that decoders take beside pixels
READY = b"\n"
LONGEST = 2000  # characters of a reason


def main(connection: int, memory: int, seconds: float, limits: ImageLimits) -> None:
    """Decode until nobody asks any more. `connection` and `memory` are descriptors."""
    for ended in (signal.SIGTERM, signal.SIGINT):  # meant for the server, which first answers what is on its way
        signal.signal(ended, signal.SIG_IGN)
    most = _address_space() + 3 * limits.max_bytes + BYTES_OF_A_PIXEL * limits.max_pixels + OTHER_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with socket.socket(fileno=connection) as caller, caller.makefile("rb") as pictures:
        caller.sendall(READY)
        while length := pictures.read(8):
            jpeg_side = int.from_bytes(pictures.read(8))
            data = pictures.read(int.from_bytes(length))
            signal.setitimer(signal.ITIMER_PROF, seconds)  # SIGPROF, which nobody handles, ends the process
            answer = _answer(data, jpeg_side, memory, limits)
            signal.setitimer(signal.ITIMER_PROF, 0)
            caller.sendall(json.dumps(answer).encode())


def _answer(data: bytes, jpeg_side: int, memory: int, limits: ImageLimits) -> list[int] | str:
    """The sides [h, w], or why there are none."""
    try:
        pixels = decode_file(data, limits, jpeg_side)
    except BadImage as error:
        return error.message[:LONGEST]
    left = pixels.data.cast("B")
    while left:
        left = left[os.pwrite(memory, left, pixels.nbytes - len(left)) :]
    return list(pixels.shape[:2])


def _address_space() -> int:
    """Bytes of addresses in use."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    given = [int(one) for one in sys.argv[4:]]
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), ImageLimits(*given))
