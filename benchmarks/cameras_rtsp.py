"""The cameras of cameras.py, by GStreamer, for Debian's Python.

    /usr/bin/python3 cameras_rtsp.py PORT CODEC FPS FOLDER

serves rtsp://127.0.0.1:PORT/1 to /64, which send the coded pictures of FOLDER, a file each, again and again. CODEC is
h264 or mjpeg; PORT 0 is a free one, which it prints.
"""

import itertools
import sys
from pathlib import Path

import gi  # type: ignore[import-not-found] # of Debian

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found] # noqa: E402

LAUNCH = {
    "h264": "caps=video/x-h264,stream-format=byte-stream,alignment=au ! rtph264pay config-interval=-1",
    "mjpeg": "caps=image/jpeg,framerate={fps}/1 ! jpegparse ! rtpjpegpay",
}


def feed(factory, media, pictures: list[bytes], milliseconds: int) -> None:
    source = media.get_element().get_by_name("pictures")
    turn = itertools.cycle(pictures)

    def push() -> bool:  # False ends the timer, when the connection has ended
        return source.emit("push-buffer", Gst.Buffer.new_wrapped(next(turn))) == Gst.FlowReturn.OK

    push()  # without a picture the server cannot describe the stream, and connections wait for one another
    GLib.timeout_add(milliseconds, push)


def main(port: str, codec: str, fps: str, folder: str) -> None:
    Gst.init(None)
    pictures = [path.read_bytes() for path in sorted(Path(folder).iterdir())]
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    source = "appsrc name=pictures is-live=true do-timestamp=true format=time"
    launch = f"( {source} {LAUNCH[codec].format(fps=fps)} name=pay0 pt=96 )"
    for number in range(1, 65):
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(launch)
        factory.connect("media-configure", feed, pictures, round(1000 / float(fps)))
        server.get_mount_points().add_factory(f"/{number}", factory)
    server.attach(None)
    print("ready", server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
