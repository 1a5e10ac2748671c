"""A camera that speaks RTSP, by GStreamer, for Debian's Python: `/usr/bin/python3 gst_server.py PORT`. Serves /live."""

import sys

import gi  # type: ignore[import-not-found] # of Debian

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found] # noqa: E402

Gst.init(None)
factory = GstRtspServer.RTSPMediaFactory()
shape = "video/x-raw,width=160,height=120,framerate=10/1"
coded = "vp8enc deadline=1 keyframe-max-dist=10 ! rtpvp8pay name=pay0 pt=96"
factory.set_launch(f"( videotestsrc is-live=true pattern=ball ! {shape} ! {coded} )")
factory.set_shared(True)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
server.get_mount_points().add_factory("/live", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
