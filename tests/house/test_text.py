"""What lies in git: no address of a registry, no path of a machine, no picture of a person."""

import io
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from apps.recognition.engine.packs import Pack, load_pack
from apps.recognition.engine.starter import build_starter
from tests.conftest import ROOT

# Put together here, so that this file does not hold what it looks for.
DOT = "."
REGISTRIES = [
    DOT.join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs"),
        ("npmmirror", "com"),
        ("yarnpkg", "com"),
        ("jsdelivr", "net"),
        ("unpkg", "com"),
        ("crates", "io"),
        ("docker", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
        ("deb", "debian", "org"),
        ("rubygems", "org"),
        ("proxy", "golang", "org"),
        ("conda", "anaconda", "org"),
        ("mirrors", "aliyun", "com"),
        ("tuna", "tsinghua", "edu"),
        ("artifactory", ""),
    )
]
# Pages of the kiosk on which the camera looks at a head made of ovals.
DRAWN = re.compile(r"kiosk-[a-z-]+-6-(camera|movement)\.png$")
INDEX = re.compile(
    "|".join(rf"--{word}\b" for word in ("index-url", "extra-index-url", "find-links"))
)
# Folders in which somebody works, on this machine or any other.
PLACES = re.compile(
    r"(?<![\w.~}/-])/(?:" + "|".join(("work", "root", "home", "Users", "mnt", "opt")) + r")/\w"
)


def tracked() -> Iterator[Path]:
    """Every file in git that is there."""
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    for name in names.split("\0"):
        if name and (ROOT / name).is_file():
            yield ROOT / name


def lines() -> Iterator[tuple[str, str]]:
    """Every line of text with where it stands."""
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            yield f"{path.relative_to(ROOT)}:{number}", line


@pytest.mark.parametrize(
    "found",
    [
        lambda line: any(host in line for host in REGISTRIES),
        INDEX.search,
        PLACES.search,
    ],
    ids=["a registry's host", "a registry's setting", "a path of a machine"],
)
def test_no_line_names(found: Callable[[str], object]) -> None:
    assert [where for where, line in lines() if found(line)] == []


def test_the_search_finds_what_it_looks_for() -> None:
    assert PLACES.search("see " + "/ho" + "me/linda/x")
    assert PLACES.search('"' + "/wo" + "rk/main")
    assert not PLACES.search("apps" + "/wo" + "rk/main")
    assert not PLACES.search("https://harbour.example" + "/ho" + "me/")
    assert len(list(tracked())) > 150


def pictures() -> Iterator[tuple[str, np.ndarray]]:
    """Every file in git that is a picture, whatever it is called."""
    for path in tracked():
        try:
            with Image.open(io.BytesIO(path.read_bytes())) as picture:
                rgb = np.array(picture.convert("RGB"), dtype=np.uint8)
        except (UnidentifiedImageError, OSError):
            continue
        yield str(path.relative_to(ROOT)), rgb


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return load_pack(build_starter(tmp_path_factory.mktemp("packs") / "pack"))


def test_no_picture_shows_a_face(pack: Pack) -> None:
    """Screenshots are welcome; people in them are not. The camera's screen shows a drawn head."""
    found = {name for name, picture in pictures() if pack.detector.detect(picture)}
    assert {name for name in found if not DRAWN.search(name)} == set()


def test_no_film_no_photo_and_no_model_is_tracked() -> None:
    kinds = {".jpg", ".jpeg", ".heic", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".mp4", ".mov"}
    kinds |= {
        ".avi",
        ".mkv",
        ".y4m",
        ".npy",
        ".npz",
        ".onnx",
        ".pt",
        ".pkl",
        ".jws",
        ".pem",
        ".key",
    }
    assert [path.name for path in tracked() if path.suffix.lower() in kinds] == []
