"""Frames of one camera: a file played in real time, an RTSP address, or a USB device.

A thread reads and decodes and keeps the newest frame only; a slow consumer loses frames, never
time. A source that fails is opened again every few seconds, for ever. Nothing is written, and no
log line holds the address, which may carry a password.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Condition, Event, Thread
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import av
import numpy as np

from apps.recognition.engine.types import Image

from .clock import BackOff, Clock, SystemClock

log = logging.getLogger(__name__)

State = Literal["opening", "live", "waiting", "ended", "stopped"]

OPEN_TIMEOUT = 5.0
READ_TIMEOUT = 5.0
"""Seconds without a byte after which a camera counts as gone."""
LONGEST_WAIT = 3.0
"""Seconds between two tries. However long a camera was away, it is back within 10 s: a try that
just began to hang takes OPEN_TIMEOUT, then this wait, then up to 1.5 s to a key frame."""
SAY_AGAIN = 300.0
"""Seconds after which a log line about a camera that is still away is repeated."""

RTSP_OPTIONS = {
    "rtsp_transport": "tcp",
    "fflags": "nobuffer",
    "flags": "low_delay",
    "max_delay": "0",
    "reorder_queue_size": "0",
    "analyzeduration": "500000",
    "probesize": "500000",
}
USB_OPTIONS = {"framerate": "15", "video_size": "640x480"}


class Frame:
    """One picture of a camera. The pixels are converted to RGB once, when first asked for.

    at: Unix seconds of capture. index: from 0, gaps where frames were dropped.
    """

    def __init__(self, picture: Image | av.VideoFrame, at: float, index: int) -> None:
        self._picture = picture
        self.at = at
        self.index = index

    @cached_property
    def image(self) -> Image:
        """RGB uint8 (H, W, 3)."""
        if isinstance(self._picture, np.ndarray):
            return self._picture
        # By this thread: others would be started, and ended, for each picture.
        return np.asarray(self._picture.to_ndarray(format="rgb24", threads=1), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Health:
    """How a stream fares. frames: decoded; dropped: decoded and never taken.

    last_frame_at: Unix seconds, None before the first. reconnects: times it was opened again
    because it failed.
    """

    state: State = "opening"
    last_frame_at: float | None = None
    frames: int = 0
    dropped: int = 0
    reconnects: int = 0


class Frames(Protocol):
    """Where a watcher takes its frames from."""

    @property
    def ended(self) -> bool:
        """Whether no frame will ever come again."""
        ...

    @property
    def health(self) -> Health: ...

    def take(self, timeout: float) -> Frame | None:
        """The newest frame that was not taken yet, or None after `timeout` seconds without."""
        ...

    def close(self) -> None:
        """Ends it, now."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """Where the pictures come from, as `open_source` needs it."""

    address: str
    kind: Literal["file", "network", "usb"]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads "rtsp://…", "/dev/video0", "usb:0" or the path of a file. Raises ValueError."""
        text = text.strip()
        if not text:
            raise ValueError("a camera needs a source: a file, an RTSP address or a USB device")
        if usb := re.fullmatch(r"usb:(\d+)", text):
            return cls(f"/dev/video{usb[1]}", "usb")
        if re.fullmatch(r"/dev/video\d+", text):
            return cls(text, "usb")
        if text.startswith(("rtsp://", "rtsps://")):
            return cls(text, "network")
        if "://" in text:
            raise ValueError("a network camera is read by rtsp:// or rtsps://")
        return cls(text, "file")


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture before its pixels are converted. second: presentation time from 0."""

    frame: av.VideoFrame
    second: float


def open_source(source: Source) -> Generator[Picture, None, None]:
    """Decodes a source from its start, as fast as it comes.

    Raises av.FFmpegError or OSError when it cannot be opened or breaks off.
    """
    extra: dict[str, Any] = {}
    if source.kind == "network":
        extra = {"options": RTSP_OPTIONS, "timeout": (OPEN_TIMEOUT, READ_TIMEOUT)}
    elif source.kind == "usb":
        extra = {"format": "v4l2", "options": USB_OPTIONS, "timeout": (OPEN_TIMEOUT, READ_TIMEOUT)}
    with av.open(source.address, **extra) as container:
        if not container.streams.video:
            raise OSError("no video in it")
        video = container.streams.video[0]
        # Frame threads hold back as many frames as there are threads.
        video.thread_type = "SLICE"
        video.codec_context.thread_count = 1
        step = 1.0 / float(video.average_rate or 25)
        first: float | None = None
        last = -step
        for packet in container.demux(video):
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                # Half a picture after joining a live stream, or a broken one: the next key frame
                # mends it. A file that is broken for good ends by itself.
                continue
            for frame in frames:
                second = frame.time if frame.time is not None else (first or 0.0) + last + step
                first = second if first is None else first
                last = second - first
                yield Picture(frame, last)


def every_frame(source: str | Path, *, start: float = 0.0) -> Iterator[Frame]:
    """All frames of a file, none dropped and none waited for; `at` counts from `start`."""
    for index, picture in enumerate(open_source(Source.parse(str(source)))):
        yield Frame(picture.frame, start + picture.second, index)


class Recording:
    """Frames that wait for whoever takes them: none is dropped, and no time passes between.

    For measuring, and for looking at a clip again; a camera is read by `open_stream`.
    """

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._frames = iter(frames)
        self._health = Health()

    @property
    def ended(self) -> bool:
        return self._health.state in ("ended", "stopped")

    @property
    def health(self) -> Health:
        return self._health

    def take(self, timeout: float) -> Frame | None:
        """The next frame, at once; None when there are no more."""
        frame = next(self._frames, None)
        if frame is None:
            self._health = replace(self._health, state="ended")
        else:
            count = self._health.frames + 1
            self._health = Health(state="live", last_frame_at=frame.at, frames=count)
        return frame

    def close(self) -> None:
        if not self.ended:
            self._health = replace(self._health, state="stopped")


class Stream:
    """A source that is read by its own thread; see `open_stream`."""

    def __init__(self, source: Source, *, loop: bool, name: str, clock: Clock) -> None:
        self._source = source
        self._loop = loop
        self._name = name
        self._clock = clock
        self._stop = Event()
        self._changed = Condition()
        self._newest: Frame | None = None
        self._state: State = "opening"
        self._last_frame_at: float | None = None
        self._said: tuple[str, float] | None = None
        """Why there was no picture when the log last said so, and when that was."""
        self._frames = self._dropped = self._reconnects = 0
        self._thread = Thread(target=self._read, name=f"stream-{name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        """Newest frames until the source ends or the stream is closed."""
        while not self.ended:
            frame = self.take(1.0)
            if frame is not None:
                yield frame

    @property
    def ended(self) -> bool:
        """Whether it is over and the last frame was taken."""
        with self._changed:
            return self._over and self._newest is None

    @property
    def health(self) -> Health:
        with self._changed:
            return Health(
                state=self._state,
                last_frame_at=self._last_frame_at,
                frames=self._frames,
                dropped=self._dropped,
                reconnects=self._reconnects,
            )

    def take(self, timeout: float) -> Frame | None:
        """The newest frame that was not taken yet, or None after `timeout` seconds without."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._over, timeout)
            frame, self._newest = self._newest, None
            return frame

    def close(self) -> None:
        """Ends it. A read that hangs in the network ends by itself, with its own timeout."""
        self._stop.set()
        with self._changed:
            self._newest = None
        self._enter("stopped")
        self._thread.join(timeout=2.0)

    @property
    def _over(self) -> bool:
        return self._state in ("ended", "stopped")

    def _enter(self, state: State) -> None:
        with self._changed:
            if not self._over:
                self._state = state
            self._changed.notify_all()

    def _read(self) -> None:
        back_off = BackOff()
        while not self._stop.is_set():
            before = self._frames
            why = self._play()
            if self._stop.is_set() or (why is None and not self._loop):
                break
            if self._frames > before:
                back_off.reset()
            if why is None:
                continue
            self._complain(why)
            self._enter("waiting")
            self._reconnects += 1
            self._clock.wait(self._stop, back_off.next(longest=LONGEST_WAIT))
        self._enter("ended")

    def _complain(self, why: str) -> None:
        """A log line when the reason is new, then seldom: a camera may be away for a weekend."""
        now = self._clock.monotonic()
        if self._said is None or why != self._said[0] or now - self._said[1] >= SAY_AGAIN:
            self._said = why, now
            log.warning("camera %s gives no picture (%s), trying again", self._name, why)

    def _play(self) -> str | None:
        """Plays the source once. Returns why it failed, or None when a file came to its end."""
        before = self._frames
        try:
            with closing(open_source(self._source)) as pictures:
                begin, second, step = self._clock.monotonic(), 0.0, 0.0
                for picture in pictures:
                    second, step = picture.second, picture.second - second
                    self._keep_pace(begin + second)
                    if self._stop.is_set():
                        return None
                    self._publish(picture)
                # The last picture lasts as long as the others: the next may be the first again.
                self._keep_pace(begin + second + step)
        except (av.FFmpegError, OSError, ValueError) as error:
            return _why(error)
        if self._source.kind == "file" and self._frames > before:
            return None
        return "the stream ended"

    def _keep_pace(self, until: float) -> None:
        """A file is played as fast as it was taken; a camera sets its pace itself."""
        early = until - self._clock.monotonic()
        if self._source.kind == "file" and early > 0:
            self._clock.wait(self._stop, early)

    def _publish(self, picture: Picture) -> None:
        at = self._clock.now()
        if self._said is not None:
            self._said = None
            log.info("camera %s gives pictures again", self._name)
        with self._changed:
            if self._newest is not None:
                self._dropped += 1
            self._newest = Frame(picture.frame, at, self._frames)
            self._frames += 1
            self._last_frame_at = at
            if not self._over:
                self._state = "live"
            self._changed.notify_all()


def open_stream(
    source: str | Path, *, loop: bool = False, name: str = "", clock: Clock | None = None
) -> Stream:
    """Starts reading a camera; close it, or use it with `with`.

    source: a file (played by its own timing), "rtsp://…", "/dev/video0" or "usb:0".
    loop: play a file again and again. name: what log lines call it, never its address.
    Raises ValueError for a source that cannot be one; what is not there yet is waited for.
    """
    return Stream(
        Source.parse(str(source)), loop=loop, name=name or "unnamed", clock=clock or SystemClock()
    )


def _why(error: Exception) -> str:
    """The reason without FFmpeg's message, which repeats the address with its password."""
    return getattr(error, "strerror", None) or type(error).__name__
