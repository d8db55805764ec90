"""A person before the tablet's camera who does what the page asks for, as no clip in a file can.

The script takes the camera's place in the page: it draws the person of ops.heads, who turns and
comes nearer when the page shows a movement. Everything after that is the page's own.
"""

import base64
import json
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ops.heads import STEPS, Head
from tests import faces

Manner = Literal["live", "swap", "replay", "again"]
Reel = dict[str, list[str]]
ACTS = ("left", "right", "nearer")

SCRIPT = """
(() => {
  /* The browser's own page, where there is no network, has no camera. */
  if (!navigator.mediaDevices) return;
  const people = PEOPLE, manner = MANNER;
  let opened = 0;
  const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const shown = (text) => createImageBitmap(new Blob([bytes(text)], { type: "image/jpeg" }));
  navigator.mediaDevices.getUserMedia = async () => {
    opened += 1;
    const reels = [];
    for (const person of people) {
      const reel = {};
      for (const [act, shots] of Object.entries(person)) {
        reel[act] = await Promise.all(shots.map(shown));
      }
      reels.push(reel);
    }
    const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 480 });
    const paint = canvas.getContext("2d");
    let act = "left", place = 0, movements = 0, before = "";
    const draw = () => {
      const asked = document.querySelector(".stage-look")?.dataset.act ?? "front";
      /* That session had other movements. */
      const replayed = { front: "front", left: "right", right: "nearer", nearer: "left" };
      const wanted = manner === "replay" ? replayed[asked] : asked;
      if (wanted !== before && wanted !== "front") movements += 1;
      before = wanted;
      if (wanted === act) place = Math.min(place + 1, reels[0][act].length - 1);
      else if (place > 0) place -= 1;
      else if (wanted !== "front") act = wanted;
      const later = { swap: movements > 1, again: opened > 1 }[manner];
      paint.drawImage(reels[later ? 1 : 0][act][place], 0, 0);
    };
    draw();
    setInterval(draw, 100);
    return canvas.captureStream(15);
  };
})();
"""


def acting(*people: int | NDArray[np.uint8] | Reel, manner: Manner = "live") -> str:
    """An init script: the first of the people (or frames of them) is before the camera.

    live: does what is asked. swap: the second goes on in the middle. again: the second comes when
    the camera is opened once more. replay: does what another session asked for.
    """
    reels = [_reel_of(one) for one in people]
    return SCRIPT.replace("PEOPLE", json.dumps(reels)).replace("MANNER", json.dumps(manner))


def standing(frame: NDArray[np.uint8]) -> Reel:
    """A camera that sees this frame, whatever is asked for."""
    shot = base64.b64encode(faces.jpeg(frame)).decode()
    return {act: [shot] * (STEPS + 1) for act in ACTS}


def _reel_of(one: int | NDArray[np.uint8] | Reel) -> Reel:
    if isinstance(one, int):
        return _person(one)
    return one if isinstance(one, dict) else _filmed(one)


@cache
def _person(number: int) -> Reel:
    return _filmed(next(faces.frames(number, seconds=0.1)))


def _filmed(frame: NDArray[np.uint8]) -> Reel:
    """From the front into each movement, as base64 JPEGs."""
    head = Head(frame)
    return {
        act: [
            base64.b64encode(faces.jpeg(head.on_the_way(act, step / STEPS, step))).decode()
            for step in range(STEPS + 1)
        ]
        for act in ACTS
    }
