"""Asks the recognizer about somebody in a lane. A process without a lane never loads this."""

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from apps.recognition.client import Decision, MatchRequest, Recognizer
from apps.visits.pipeline.watcher import CameraSpec


def ask_about(spec: CameraSpec, crops: NDArray[np.uint8], seen_at: float) -> Decision:
    """Who these crops uint8 (N, 112, 112, 3) of one track are, first seen well at Unix `seen_at`.

    Raises RecognizerDown, CropsRefused.
    """
    request = MatchRequest(camera=spec.id, store=spec.store, seen_at=seen_at)
    return Recognizer(settings.CONSENTRY.socket).match(request, crops)
