"""Is somebody there? Two movements, drawn at random for this attempt at this tablet, watched once.

Enrolling another person's photo would be consent in that person's name. So the tablet asks for
movements that a photo cannot make, and the pictures of them travel with the opt-in itself: only
what is judged together is trusted. Redis holds the drawn movements under a random id, no picture.
What this does not stop says engine.liveness; for that there is a member of staff beside them.
Whoever cannot move so enrols with that member's word in place of the movements (`passive`), or goes
the way without a face.
"""

import base64
import binascii
import json
import random
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from statistics import median
from typing import Annotated
from uuid import UUID

import numpy as np
import redis
from django.db import Error as DatabaseProblem
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from apps.kiosk import faces
from apps.recognition.client import RecognizerDown
from apps.recognition.engine import liveness
from apps.recognition.engine.liveness import Act, Glance
from apps.stores.devices import NonceStoreDown, live_events
from apps.stores.models import Device

ACTS = 2
"""Of three movements, in any order: six challenges, each with a turn, which no photo passes."""
KEPT_S = 120
"""As long as a nonce: the movements, and one more try to send them."""
MAX_FRAMES = 24


class NotAlive(ValueError):
    """The movements were not seen as they were asked for. `code` names the sentence."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Frame(BaseModel):
    """A picture taken during the challenge; step and at: see liveness.Glance."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    step: Annotated[int, Field(ge=0, lt=2 * ACTS)]
    at: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]
    photo: str


class Glimpse(BaseModel):
    """One picture to be judged while the person moves. front: five points from the front."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    asked: liveness.Asked
    front: Annotated[list[tuple[float, float]], Field(min_length=5, max_length=5)]
    photo: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """What is asked of the person, and under which id."""

    id: str
    acts: list[Act]


def draw(*, device: Device, attempt: UUID) -> Challenge:
    """Draw the movements for an attempt. Raises NonceStoreDown."""
    drawn = Challenge(secrets.token_urlsafe(18), random.SystemRandom().sample(liveness.ACTS, ACTS))
    value = json.dumps({"attempt": str(attempt), "acts": drawn.acts})
    try:
        live_events().set(_key(device, drawn.id), value, ex=KEPT_S)
    except redis.RedisError as error:
        raise NonceStoreDown from error
    return drawn


@contextmanager
def held(*, device: Device, attempt: UUID, challenge: str) -> Iterator[list[Act]]:
    """Lend the movements that were drawn for this attempt, and use them up.

    They stay only when the house failed: then nothing was decided, and the same form may come
    again. One attempt is enrolled once, whatever is sent. Raises NotAlive, NonceStoreDown.
    """
    key = _key(device, challenge)
    try:
        value = live_events().get(key)
    except redis.RedisError as error:
        raise NonceStoreDown from error
    drawn = json.loads(value) if isinstance(value, bytes | str) else {}
    if drawn.get("attempt") != str(attempt):
        raise NotAlive("too_slow")
    try:
        yield drawn["acts"]
    except (RecognizerDown, DatabaseProblem, NonceStoreDown):
        raise
    except Exception:
        _use_up(key)
        raise
    _use_up(key)


def watch(
    *, acts: Sequence[Act], looks: Sequence[faces.Look], frames: Sequence[Frame]
) -> NDArray[np.uint8]:
    """The crops (M, 112, 112, 3) of the movements, all of which are to be one person's.

    looks: of the pictures that are to be enrolled, the first from the front. Raises NotAlive.
    """
    glances, seen = [], []
    try:
        for frame in frames:
            one = faces.glance(unpacked(frame.photo), judged=True)
            if one.crop is None or one.landmarks is None:
                raise NotAlive("two_faces_came" if one.code == "two_faces_came" else "face_lost")
            seen.append(one)
            glances.append(Glance(frame.step, frame.at, one.landmarks))
        passive(looks, seen)
        front = looks[0].landmarks
        assert front is not None
        verdict = liveness.judge(front, acts, glances)
        if verdict != "ok":
            raise NotAlive(CODES.get(verdict, verdict))
        return faces.stacked(seen)
    finally:
        faces.wipe(seen)


def passive(looks: Sequence[faces.Look], seen: Sequence[faces.Look] = ()) -> None:
    """What pictures show by themselves: no grid of a screen, and alive to the pack's network.

    looks: those to be enrolled; seen: those of the movements. Raises NotAlive.
    """
    grids = [each.grid for each in (*looks, *seen)]
    if median(grids) > liveness.MAX_GRID or not all(each.alive for each in looks):
        raise NotAlive("looks_flat")


CODES = {"incomplete": "not_seen", "flat": "looks_flat"}


def glimpse(asked: Glimpse) -> dict[str, object]:
    """What the tablet says while the person moves: whether it is done, and whether to begin anew.

    Guidance only: the same pictures are judged again, together, with the opt-in.
    """
    seen = faces.glance(unpacked(asked.photo))
    faces.wipe([seen])
    if seen.landmarks is None:
        return {"done": False, "stop": seen.code == "two_faces_came", **_told(seen.code)}
    front = np.array(asked.front, dtype=np.float32)
    doing = liveness.doing(asked.asked, front, seen.landmarks)
    code = "other_act" if doing == "other" else "good"
    return {"done": doing == "done", "stop": doing == "other", **_told(code)}


def unpacked(photo: str) -> bytes:
    """The bytes of a base64 text; none, which are no picture, when it is not base64."""
    try:
        return base64.b64decode(photo, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _told(code: str) -> dict[str, object]:
    return {"code": code, "text": faces.sentence(code)}


def _key(device: Device, challenge: str) -> str:
    return f"challenge:{device.pk}:{challenge}"


def _use_up(key: str) -> None:
    """It ends by itself soon, and its attempt enrols once: without Redis nothing is lost."""
    with suppress(redis.RedisError):
        live_events().delete(key)
