"""The starter pack and clips of people, made once a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings

from apps.recognition.engine.align import align
from apps.recognition.engine.packs import Pack, load_pack
from apps.recognition.engine.types import Detector
from apps.stores.models import Camera
from tests.conftest import build_house
from tests.faces import frames, walk_by, write_mp4
from tests.visits.cameras import Door, mean


@pytest.fixture(scope="session")
def eyes(keys_and_pack: None) -> Pack:
    """The real networks."""
    return load_pack(settings.CONSENTRY.packs)


@pytest.fixture(scope="session")
def detector(eyes: Pack) -> Detector:
    return eyes.detector


@pytest.fixture
def door(eyes: Pack) -> Callable[..., Door]:
    """A door that knows the persons given by number."""

    def make(*known: int) -> Door:
        enrolled = []
        for person in known:
            crops = [
                align(image, eyes.detector.detect(image)[0].landmarks)
                for image in frames(person, seconds=0.4)
            ]
            enrolled.append(mean(eyes.embedder.embed(np.stack(crops))))
        return Door(eyes, enrolled)

    return make


@pytest.fixture(scope="session")
def arrival(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip, 640×480 at 10 fps: half a second of nobody, two seconds of person 2, nobody."""
    path = tmp_path_factory.mktemp("clips") / "arrival.mp4"
    write_mp4(path, walk_by([2], seconds_absent=0.5, seconds_present=2.0))
    return path


@pytest.fixture
def entrance(transactional_db: None, arrival: Path) -> Camera:
    """A counting camera whose clip shows one person who comes in."""
    house = build_house()
    house.camera.delete()
    return Camera.objects.create(
        store=house.store,
        name="Entrance",
        source=str(arrival),
        line=[[0.5, 1.0], [0.5, 0.0]],
    )
