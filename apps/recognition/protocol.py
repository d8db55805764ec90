"""The words between the recognizer and those who ask it: a JSON header, then raw bytes.

Crops travel as uint8 RGB, aligned to 112×112; the recognizer never parses an image file.
A frame is a 4-byte big-endian length, the header of that length, then `bytes` raw bytes.
"""

import json
import socket
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_HEADER = 64 * 1024
MAX_PAYLOAD = 4 * 1024 * 1024
CROP_SHAPE = (112, 112, 3)
CROP_BYTES = 112 * 112 * 3


class ProtocolError(ConnectionError):
    """The other side hung up or said something that is no frame."""


def send(
    connection: socket.socket, header: dict[str, Any], payload: bytes | bytearray = b""
) -> None:
    """Write one frame; the payload goes out as it lies, without a copy."""
    head = json.dumps({**header, "bytes": len(payload)}).encode()
    connection.sendall(struct.pack(">I", len(head)) + head)
    if payload:  # else the other side may have answered and gone already
        connection.sendall(payload)


def receive(connection: socket.socket) -> tuple[dict[str, Any], bytearray] | None:
    """Read one frame; None when the other side closed between frames. Raises ProtocolError.

    The payload may be a face: whoever asked for it overwrites it when it is done.
    """
    start = _exactly(connection, 4, at_start=True)
    if start is None:
        return None
    (length,) = struct.unpack(">I", start)
    if length > MAX_HEADER:
        raise ProtocolError("header too long")
    try:
        header = json.loads(_exactly(connection, length) or b"")
        size = int(header["bytes"])
    except (ValueError, KeyError, TypeError) as error:
        raise ProtocolError("no header") from error
    if not 0 <= size <= MAX_PAYLOAD:
        raise ProtocolError("payload too long")
    return header, _exactly(connection, size) or bytearray()


def pack_crops(crops: NDArray[np.uint8]) -> bytes:
    """Serialise uint8 crops (N, 112, 112, 3). Raises ValueError for any other shape."""
    if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != CROP_SHAPE:
        raise ValueError("crops are uint8 (N, 112, 112, 3)")
    return np.ascontiguousarray(crops).tobytes()


def unpack_crops(payload: bytes | bytearray) -> NDArray[np.uint8]:
    """Read crops back. Raises ValueError unless there is at least one whole crop."""
    if not payload or len(payload) % CROP_BYTES:
        raise ValueError("not whole crops")
    return np.frombuffer(payload, np.uint8).reshape(-1, *CROP_SHAPE)


def _exactly(connection: socket.socket, size: int, at_start: bool = False) -> bytearray | None:
    whole = bytearray(size)
    left = memoryview(whole)
    while left:
        count = connection.recv_into(left)
        if not count:
            if at_start and len(left) == size:
                return None
            whole[:] = bytes(size)
            raise ProtocolError("hung up")
        left = left[count:]
    return whole
