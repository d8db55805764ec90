"""The demo's notice goes the way of every notice: written by one, approved by another, true."""

from pathlib import Path

import pytest

from apps.consent import notices
from apps.consent.models import Notice
from apps.consent.wording import Registers
from apps.kiosk.demo import seed
from apps.stores.models import Device, all_languages
from tests.clients import enrolled


@pytest.mark.django_db
def test_the_demo_publishes_with_two_people_in_every_language() -> None:
    seed(Path("lane.mp4"))
    demo = seed(Path("lane.mp4"))
    notice = Notice.objects.get()
    assert notice.published_by not in notice.editors
    assert notices.drift(notice, Registers(notice.organization)) == []
    texts = {text.locale: text for text in notice.texts.all()}
    assert texts.keys() == set(all_languages())
    for text in texts.values():
        assert len(text.short_lines) <= notices.MOST_LINES
        assert len(text.parts) == 11
        assert "{" not in text.short + text.full
    assert "Pass reader at the door" in texts["en"].full
    # The second store can be tried: the kiosk asks about it, the notice names it.
    tablet = enrolled(Device.objects.get(kind=Device.Kind.KIOSK))
    asked = tablet.request("/kiosk/en/").body.decode()
    assert 'data-purpose="group"' in asked
    assert demo.other.name in asked
    assert demo.other.name in texts["en"].full
    assert all(not camera.blockers() for camera in demo.other.cameras.all())
