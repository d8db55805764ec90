"""A file stands in for a camera: it plays once, and is over."""

from datetime import timedelta
from threading import Event, Thread
from threading import enumerate as enumerate_threads

from django.utils import timezone

from apps.recognition.engine.types import Detector
from apps.stores.models import Camera
from apps.visits.cameras import Cameras
from apps.visits.health import look_at
from tests.waiting import until


class Rounds(Event):
    """Lets the cameras look at their settings so often, each time with the clip at its end."""

    def __init__(self, entrance: Camera, rounds: int) -> None:
        super().__init__()
        self._entrance = entrance
        self._left = rounds
        self.plays: set[Thread] = set()
        """Every thread that was seen playing the clip."""

    def wait(self, timeout: float | None = None) -> bool:
        name = f"camera-{self._entrance.pk}"
        self.plays |= {thread for thread in enumerate_threads() if thread.name == name}
        until(Camera.objects.filter(pk=self._entrance.pk, state="ended").exists, seconds=90)
        self._left -= 1
        if not self._left:
            self.set()
        return self.is_set()


def test_a_clip_plays_once_and_is_shown_as_ended(entrance: Camera, detector: Detector) -> None:
    rounds = Rounds(entrance, 4)
    Cameras(detector, set()).run(rounds)
    assert len(rounds.plays) == 1
    entrance.refresh_from_db()
    assert entrance.state == "ended"
    # Nobody reports on it any more, and that is no fault.
    entrance.reported_at = entrance.last_frame_at = timezone.now() - timedelta(hours=1)
    seen = look_at(entrance, uncalibrated=False)
    assert (seen.health.word, seen.health.tone) == ("clip ended", "")


def test_a_clip_that_ended_plays_again_when_its_settings_change(
    entrance: Camera, detector: Detector
) -> None:
    class Renamed(Rounds):
        def wait(self, timeout: float | None = None) -> bool:
            over = super().wait(timeout)
            Camera.objects.update(name="Front door", state="")
            return over

    rounds = Renamed(entrance, 2)
    Cameras(detector, set()).run(rounds)
    assert len(rounds.plays) == 2
