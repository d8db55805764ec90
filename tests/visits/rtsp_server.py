"""An RTSP camera made of GStreamer, run by the system's own Python: Debian's packages, no others.

    /usr/bin/python3 rtsp_server.py CLIP.h264 PORT FPS

Sends a raw H.264 clip (an access unit delimiter before each picture) over and over in real time,
to whoever connects, wherever in the clip it happens to be, like a camera on a wall. Says "ready".
"""

import re
import sys
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

DELIMITER = re.compile(rb"(?=\x00\x00\x00\x01\x09)")
PIPELINE = (
    "( appsrc name=clip is-live=true format=time do-timestamp=false block=true max-bytes=1 "
    'caps="video/x-h264,stream-format=byte-stream,alignment=au" '
    "! h264parse ! rtph264pay name=pay0 pt=96 config-interval=1 )"
)


class Clip:
    """Hands out the next picture whenever the pipeline wants one."""

    def __init__(self, path: Path, fps: int) -> None:
        self.pictures = [unit for unit in DELIMITER.split(path.read_bytes()) if unit]
        self.fps = fps
        self.sent = 0

    def wanted(self, source, _size):  # type: ignore[no-untyped-def]
        unit = self.pictures[self.sent % len(self.pictures)]
        picture = Gst.Buffer.new_wrapped(unit)
        picture.pts = picture.dts = self.sent * Gst.SECOND // self.fps
        picture.duration = Gst.SECOND // self.fps
        self.sent += 1
        source.emit("push-buffer", picture)


def serve(path: Path, port: int, fps: int) -> None:
    Gst.init(None)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(PIPELINE)
    factory.set_shared(True)

    def begin(_factory, media):  # type: ignore[no-untyped-def]
        clip = Clip(path, fps)
        media.get_element().get_by_name("clip").connect("need-data", clip.wanted)

    factory.connect("media-configure", begin)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(port))
    server.get_mount_points().add_factory("/lane", factory)
    if not server.attach(None):
        sys.exit(f"port {port} is taken")
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
