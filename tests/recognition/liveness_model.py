"""A network with the door of insightface's liveness add-on, and an answer that is fixed."""

import json
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from apps.recognition.engine.starter import MANIFEST, digest

FILE = "liveness.onnx"


def build(path: Path, probability: float) -> None:
    """Float32 (N, 3, 80, 80) to (N,): the given probability, whatever it sees."""
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 80, 80])
    told = helper.make_tensor_value_info("live", TensorProto.FLOAT, ["N"])
    half = helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0])
    base = helper.make_tensor("probability", TensorProto.FLOAT, [], [probability])
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "probability"], ["live"]),
    ]
    graph = helper.make_graph(nodes, "liveness", [given], [told], [half, base])
    opset = helper.make_opsetid("", 13)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), str(path))


def declare(pack: Path, probability: float, **spoilt: str) -> None:
    """Put such a network into a starter pack and its manifest; `spoilt`: what is said wrongly."""
    build(pack / FILE, probability)
    said = {"file": FILE, "sha256": digest(pack / FILE), **spoilt}
    _declare(pack, said)


def undeclare(pack: Path) -> None:
    _declare(pack, None)
    (pack / FILE).unlink(missing_ok=True)


def _declare(pack: Path, said: dict[str, str] | None) -> None:
    manifest = json.loads((pack / MANIFEST).read_text())
    manifest["models"].pop("liveness", None)
    if said:
        manifest["models"]["liveness"] = said
    (pack / MANIFEST).write_text(json.dumps(manifest))
