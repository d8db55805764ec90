"""Asks the recognizer, for a lane or a shown pass. A process that only counts never loads this."""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from apps.recognition.client import Decision, MatchRequest, Recognizer, VerifyRequest
from apps.recognition.passes import Pass

if TYPE_CHECKING:
    # It brings decoders along, which a tablet's pass needs none of.
    from apps.visits.pipeline.watcher import CameraSpec


def ask_about(spec: "CameraSpec", crops: NDArray[np.uint8], seen_at: float) -> Decision:
    """Who these crops uint8 (N, 112, 112, 3) of one track are, first seen well at Unix `seen_at`.

    Raises RecognizerDown, CropsRefused.
    """
    request = MatchRequest(camera=spec.id, store=spec.store, seen_at=seen_at)
    return Recognizer.any_of(settings.CONSENTRY.sockets).match(request, crops)


@dataclass(frozen=True, slots=True)
class PassDesk:
    """The recognizer, as one camera that reads passes asks it."""

    camera: UUID

    def present(self, shown: Pass) -> str:
        """Open a window for a pass and return its nonce. Raises RecognizerDown, PassRefused."""
        return self._recognizer.present(camera=self.camera, shown=shown)

    def verify(self, nonce: str, crops: NDArray[np.uint8], seen_at: float) -> Decision:
        """Whether these crops uint8 (N, 112, 112, 3) are the pass's own person."""
        return self._recognizer.verify(VerifyRequest(self.camera, nonce, seen_at), crops)

    @property
    def _recognizer(self) -> Recognizer:
        return Recognizer.any_of(settings.CONSENTRY.sockets)
