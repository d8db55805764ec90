"""How networks are run: onnxruntime on the CPU, a fixed number of threads, nothing phoned home.
OpenCV, which works on the small pictures around them, gets no threads of its own.

Refuses nothing itself; it exists so that every session in the house is opened the same way.
"""

from __future__ import annotations

import os
from pathlib import Path

# onnxruntime reads this while it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import cv2
import onnxruntime

# Its pool's idle threads spin, and take the cores from the network that runs next.
cv2.setNumThreads(1)

PROVIDERS = ["CPUExecutionProvider"]


def options(threads: int) -> onnxruntime.SessionOptions:
    """Session options: `threads` workers inside an operator, one operator at a time."""
    result = onnxruntime.SessionOptions()
    result.intra_op_num_threads = threads
    result.inter_op_num_threads = 1
    # Between two calls workers sleep: several of our processes share the same few cores, and a
    # spinning one takes time from the camera beside it.
    result.add_session_config_entry("session.force_spinning_stop", "1")
    result.log_severity_level = 3
    return result


def session(model: Path | bytes, threads: int) -> onnxruntime.InferenceSession:
    """A session over an ONNX file, or over its bytes."""
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options(threads), providers=PROVIDERS)
