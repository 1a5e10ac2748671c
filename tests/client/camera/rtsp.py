"""A camera that speaks RTSP, for tests: `python rtsp.py URL GRAY FRAMES`.

It dials until somebody listens at the URL, pushes so many frames of that gray, prints "sent", and then says nothing
more until its stdin ends: a stall, not an end.
"""

from __future__ import annotations

import sys
import time

import av
import numpy as np

FPS = 100
PATIENCE = 120.0  # seconds


def push(url: str, gray: int, frames: int) -> None:
    out = av.open(url, "w", format="rtsp", options={"rtsp_transport": "tcp"})
    stream = out.add_stream("mpeg4", rate=FPS)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    stream.codec_context.gop_size = 5
    picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), gray, np.uint8), format="rgb24")
    for number in range(frames):
        picture.pts = number
        out.mux(stream.encode(picture))  # the first of them dials
    print("sent", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            push(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
