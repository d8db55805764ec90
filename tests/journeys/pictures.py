"""Takes the pictures that the documents show: `ops/test tests/journeys/pictures.py`.

Not collected with the tests. Nobody's face is in them: before the kiosk's camera stands a head that
is drawn, and what a lane's camera sees is covered before it is shown. Every screen comes in two
languages at least; a name without one is English, or in all of them at once, as at the door.
"""

from collections.abc import Callable
from datetime import timedelta
from io import BytesIO

import pytest
from django.conf import settings
from django.utils import timezone
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from apps.consent.models import Consent
from apps.kiosk import demo_footfall
from apps.recognition.client import Recognizer
from apps.retention.models import Request
from apps.stores.devices import add_door, new_code, revoke
from apps.stores.models import Assessment, Camera, Device, Role, User
from apps.visitors.models import FaceTemplate, FormerPack
from apps.visits.models import Footfall, OptIn, Unmatched, Visit
from apps.visits.services import disclose
from tests.conftest import ROOT, hashed
from tests.consent.notices import new_version
from tests.journeys.acting import acting
from tests.journeys.conftest import Town, agree, choose, draw, enrolled, log_in, others, watched
from tests.journeys.drawing import head
from tests.journeys.test_cameras import lane, wall_of_cameras
from tests.journeys.test_tongues import SCREENS, SHOW
from tests.people import enrolled_for_good
from tests.privacy.requests import letter, verified
from tests.recognition.test_keep import Crops
from tests.retention.test_retire import OLD, of_the_former, taken_anew
from tests.visits.rtsp import RtspCamera
from tests.visits.test_disclose import match_of
from tests.visits.test_insights import branch

__all__ = ["lane"]  # a fixture of this module too

# Taken when they come.
IN_TURN = {"notice", "term", "age", "name", "signature", "done", "camera"}

FOLDER = ROOT / "ops" / "docs" / "pictures"


both = pytest.mark.parametrize("language", ["en", "zh-hans"])


def take(page: Page, name: str, language: str = "en", **options: object) -> bytes:
    """Save a picture of the page as it stands, small enough to live in a repository."""
    page.wait_for_load_state("load")
    page.evaluate("() => document.fonts.ready.then(() => true)")
    name = name if language == "en" else f"{name}-{language}"
    shot = page.screenshot(animations="disabled", **options)  # type: ignore[arg-type]
    FOLDER.mkdir(parents=True, exist_ok=True)
    picture = Image.open(BytesIO(shot)).convert("RGB")
    picture.quantize(128, dither=Image.Dither.NONE).save(FOLDER / f"{name}.png", optimize=True)
    return shot


def busy_floor(town: Town) -> None:
    """Three guests: one just now, one greeted, one a while ago."""
    for name, visits, minutes in (("Mr Okafor", 1, 48), ("Ms Rivera", 2, 9), ("Ms Chen", 3, 0)):
        visitor = town.house.visitor(name)
        for number in range(visits):
            disclose(match_of(visitor, town.house))
            away = timedelta(days=20 * (visits - 1 - number), minutes=minutes)
            latest = Visit.objects.filter(visitor=visitor).order_by("-sequence")[:1]
            Visit.objects.filter(pk__in=[visit.pk for visit in latest]).update(
                arrived_at=timezone.now() - away, last_seen_at=timezone.now() - timedelta(hours=2)
            )
    Visit.objects.filter(visitor__greeting_name="Ms Rivera").update(
        greeted_at=timezone.now() - timedelta(minutes=8), greeted_by=town.house.staff
    )


def opened(
    town: Town, browser: Browser, language: str = "en", *, width: int = 1280, height: int = 900
) -> Page:
    """A page whose reader's browser asks for this language."""
    tag = {"en": "en-GB", "zh-hans": "zh-CN"}[language]
    context = browser.new_context(viewport={"width": width, "height": height}, locale=tag)
    return watched(context, town)


def test_kiosk(town: Town, open_browser: Callable[..., Browser]) -> None:
    tablet = enrolled(town, open_browser(), acting(head()))
    for language in ("en", "zh-hans", "ar"):
        take(tablet, f"kiosk-{language}-1-language")
        choose(tablet, language)
        take(tablet, f"kiosk-{language}-2-notice")
        tablet.get_by_test_id("notice-go").click()
        for name in ("lane-yes", *(f"{key}-yes" for key in others(tablet)), "term-12", "age-yes"):
            take(tablet, f"kiosk-{language}-3-{name.partition('-')[0]}")
            tablet.get_by_test_id(name).click()
        tablet.get_by_test_id("name").fill("Ms Rivera")
        take(tablet, f"kiosk-{language}-4-name")
        tablet.get_by_test_id("name-go").click()
        draw(tablet)
        take(tablet, f"kiosk-{language}-5-signature")
        tablet.get_by_test_id("signature-go").click()
        expect(tablet.get_by_test_id("oval")).to_have_attribute("data-state", "good")
        take(tablet, f"kiosk-{language}-6-camera")
        moving = "[data-act=left], [data-act=right], [data-act=nearer]"
        tablet.locator(moving).wait_for(timeout=30_000)
        take(tablet, f"kiosk-{language}-6-movement")
        expect(tablet.get_by_test_id("receipt-code")).to_be_visible(timeout=30_000)
        take(tablet, f"kiosk-{language}-6-receipt")
        for name in tablet.evaluate(SCREENS):
            name = name.removeprefix("purpose-")
            if name in {"lane", *others(tablet), *IN_TURN}:
                continue
            tablet.evaluate(SHOW, "purpose-card" if name == "card" else name)
            take(tablet, f"kiosk-{language}-7-{name}")
        tablet.evaluate(SHOW, "done")
        tablet.get_by_test_id("finished").click()
        tablet.get_by_test_id(f"language-{language}").wait_for()


def test_stopped(town: Town, tablet: Page) -> None:
    for language in ("en", "zh-hans"):
        choose(tablet, language)
        revoke(device=town.house.kiosk, actor="test")
        expect(tablet.get_by_test_id("stopped")).to_be_visible()
        take(tablet, f"kiosk-{language}-7-stopped")
        tablet.get_by_test_id("stopped-set-up").click()
        tablet.get_by_test_id("enroll-code").fill(town.code())
        tablet.get_by_test_id("enroll-submit").click()
        tablet.get_by_test_id("notice-go").wait_for()
        tablet.goto(f"{town.origin}/kiosk/")


@both
def test_floor(town: Town, language: str, open_browser: Callable[..., Browser]) -> None:
    busy_floor(town)
    page = opened(town, open_browser(), language, width=420)
    log_in(page, town, "linda", f"/floor/{town.house.store.slug}/")
    take(page, "floor-phone", language)
    page.set_viewport_size({"width": 1440, "height": 900})
    take(page, "floor-wall", language)
    if language == "en":
        page.emulate_media(color_scheme="dark")
        take(page, "floor-wall-dark")


def test_front_picture(town: Town, tablet: Page, open_browser: Callable[..., Browser]) -> None:
    busy_floor(town)
    tablet.set_viewport_size({"width": 700, "height": 900})
    choose(tablet)
    tablet.get_by_test_id("notice-go").click()
    left = take(tablet, "front-kiosk")
    page = opened(town, open_browser(), width=420)
    log_in(page, town, "linda", f"/floor/{town.house.store.slug}/")
    right = take(page, "floor-phone")

    parts = [Image.open(BytesIO(part)).convert("RGB") for part in (left, right)]
    front = Image.new("RGB", (sum(part.width for part in parts) + 24, 900), "#e7e2d8")
    front.paste(parts[0], (0, 0))
    front.paste(parts[1], (parts[0].width + 24, 0))
    front.quantize(128, dither=Image.Dither.NONE).save(FOLDER / "front.png", optimize=True)
    (FOLDER / "front-kiosk.png").unlink()


@both
def test_portal(town: Town, language: str, open_browser: Callable[..., Browser]) -> None:
    busy_floor(town)
    page = opened(town, open_browser(), language)
    log_in(page, town, "diana", "/admin/")
    take(page, "portal", language, full_page=True)
    visitor = town.house.visitor("Mr Haddad")
    page.goto(f"{town.origin}/admin/visitors/visitor/{visitor.pk}/change/")
    take(page, "portal-reason", language)
    page.get_by_test_id("reason-request").check()
    page.get_by_test_id("reason-open").click()
    take(page, "portal-record", language, full_page=True)
    request = verified(town.house, visitor, Request.Kind.ERASURE)
    letter(town.house, Request.Kind.RECTIFICATION, days_ago=26)
    letter(town.house, Request.Kind.ACCESS, days_ago=33)
    page.goto(f"{town.origin}/admin/retention/request/")
    take(page, "portal-requests", language, full_page=True)
    page.get_by_role("link", name=request.number).click()
    take(page, "portal-request", language, full_page=True)
    page.get_by_test_id("request-preview-link").click()
    take(page, "portal-erase", language)
    page.goto(f"{town.origin}/admin/audit/entry/")
    take(page, "portal-ledger", language)
    page.goto(f"{town.origin}/admin/stores/policy/{town.house.store.pk}/set/")
    take(page, "portal-policies", language, full_page=True)
    page.goto(f"{town.origin}/admin/duties/")
    take(page, "portal-duties", language, full_page=True)
    page.goto(
        f"{town.origin}/admin/stores/assessment/{Assessment.objects.latest('pk').pk}/document/"
    )
    take(page, "portal-assessment", language, full_page=True)
    page.goto(f"{town.origin}/verify/")
    take(page, "verify", language, full_page=True)
    page.goto(f"{town.origin}/admin/stores/camera/{town.house.camera.pk}/change/")
    take(page, "portal-camera", language, full_page=True)
    wall_of_cameras(town)
    page.goto(f"{town.origin}/admin/stores/camera/")
    take(page, "portal-cameras", language, full_page=True)


@both
def test_zone(
    town: Town, language: str, lane: RtspCamera, open_browser: Callable[..., Browser]
) -> None:
    Camera.objects.update(zone=[[0.08, 0.1], [0.55, 0.06], [0.62, 0.9], [0.05, 0.94]])
    page = opened(town, open_browser(), language)
    log_in(page, town, "diana", f"/admin/stores/camera/{town.house.camera.pk}/zone/")
    page.get_by_test_id("still-take").click()
    covered = page.locator("[data-shown]").get_attribute("data-shown")
    expect(page.get_by_test_id("zone-said")).to_have_text(str(covered), timeout=60_000)
    take(page, "portal-zone", language, full_page=True)


@both
def test_customer(
    town: Town, language: str, tablet: Page, open_browser: Callable[..., Browser]
) -> None:
    agree(tablet, language)
    expect(tablet.get_by_test_id("receipt-code")).to_be_visible(timeout=30_000)
    code = tablet.get_by_test_id("receipt-code").inner_text()
    page = opened(town, open_browser(), language, width=420)
    page.goto(town.origin)
    take(page, "home", language, full_page=True)
    page.goto(f"{town.origin}/receipt/#{code}")
    expect(page.get_by_test_id("receipt-letter")).to_be_visible()
    take(page, "receipt-letter", language, full_page=True)
    # Eleven months later.
    Consent.objects.update(expires_at=timezone.now() + timedelta(days=30))
    page.goto(town.origin)
    page.goto(f"{town.origin}/receipt/#{code}")
    expect(page.get_by_test_id("receipt-going-on")).to_be_visible()
    take(page, "receipt-renewal", language)
    page.get_by_test_id("receipt-end-open").click()
    page.get_by_test_id("receipt-end-confirm").click()
    expect(page.get_by_test_id("receipt-erased")).to_be_visible()
    take(page, "receipt-ended", language, full_page=True)
    page.goto(f"{town.origin}/public/{town.house.store.slug}/")
    take(page, "public", language, full_page=True)


@both
def test_calibration(
    town: Town, language: str, open_browser: Callable[..., Browser], crops_of: Crops
) -> None:
    for person in (2, 3):
        enrolled_for_good(town.house, [Recognizer(settings.CONSENTRY.socket)], crops_of(person))
    busy_floor(town)
    Unmatched.objects.create(store=town.house.store, day=timezone.now().date(), count=38)
    page = opened(town, open_browser(), language)
    log_in(page, town, "diana", "/admin/recognition/calibration/")
    take(page, "portal-calibration", language, full_page=True)
    if language == "en":
        page.emulate_media(color_scheme="dark")
        take(page, "portal-calibration-dark", full_page=True)


@both
def test_models(town: Town, language: str, open_browser: Callable[..., Browser]) -> None:
    now = timezone.now()
    FormerPack.objects.create(
        name=OLD[0],
        version=OLD[1],
        licence="Apache-2.0 and MIT",
        dim=256,
        left_at=now - timedelta(days=10),
    )
    for _ in range(7):
        visitor, new = taken_anew(town.house)
        FaceTemplate.objects.filter(pk=new.pk).update(visit=visitor.pk)
    for _ in range(4):
        of_the_former(town.house)
    page = opened(town, open_browser(), language)
    log_in(page, town, "diana", "/admin/visitors/formerpack/")
    take(page, "portal-models", language, full_page=True)


@both
def test_notice(town: Town, language: str, open_browser: Callable[..., Browser]) -> None:
    omar = User.objects.create(username="omar", password=hashed(), first_name="Omar")
    Role.objects.create(user=omar, store=town.house.store, kind=Role.Kind.DPO)
    notice = new_version(town.house)
    page = opened(town, open_browser(), language)
    log_in(page, town, "omar", f"/admin/consent/notice/{notice.pk}/change/")
    take(page, "portal-notice", language, full_page=True)


@both
def test_insights(town: Town, language: str, open_browser: Callable[..., Browser]) -> None:
    mara = User.objects.create(username="mara", password=hashed(), first_name="Mara")
    stores = [town.house.store, branch(town.house, "Old Town").store]
    for store in stores:
        Role.objects.create(user=mara, store=store, kind=Role.Kind.MANAGER)
    demo_footfall.invent(stores)
    page = opened(town, open_browser(), language, height=1800)
    where = f"/admin/insights/{stores[0].pk}/?month={OptIn.objects.get().month:%Y-%m}"
    log_in(page, town, "mara", "/admin/insights/")
    page.goto(f"{town.origin}{where}")
    for chart in page.locator(".insight img").all():
        chart.scroll_into_view_if_needed()
        chart.evaluate("image => image.decode()")
    page.evaluate("() => scrollTo(0, 0)")
    take(page, "insights", language)
    if language == "en":
        page.emulate_media(color_scheme="dark")
        for chart in page.locator(".insight img").all():
            chart.evaluate("image => image.decode()")
        take(page, "insights-dark")
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 420, "height": 900})
        take(page, "insights-phone")


@both
def test_entrance(town: Town, language: str, open_browser: Callable[..., Browser]) -> None:
    entrance = Camera.objects.create(
        store=town.house.store, name="Entrance", mode=Camera.Mode.COUNT, source="entrance.mp4"
    )
    day = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    for quarter in range(36, 76):
        busy = 3 + (quarter * 7) % 11 + (12 if 46 < quarter < 56 else 0)
        Footfall.objects.create(
            camera=entrance,
            quarter=day + timedelta(minutes=15 * quarter),
            entered=busy,
            left=max(busy - 2 + quarter % 5, 0),
        )
    page = opened(town, open_browser(), language)
    where = f"/admin/stores/camera/{entrance.pk}/footfall/?day={day.date().isoformat()}"
    log_in(page, town, "diana", "/admin/")
    page.goto(f"{town.origin}{where}")
    take(page, "portal-footfall", language, full_page=True)


def test_door(town: Town, open_browser: Callable[..., Browser]) -> None:
    device = add_door(Device(store=town.house.store, name="Main door"), actor="test")
    Camera.objects.filter(tablet=device).update(signage_confirmed_at=timezone.now())
    # Its picture is what its camera sees, which must be nobody: the browser's own test picture.
    page = watched(open_browser().new_context(viewport={"width": 820, "height": 1180}), town)
    page.goto(f"{town.origin}/door/")
    page.get_by_test_id("enroll-code").fill(new_code(device=device, actor="test"))
    page.get_by_test_id("enroll-submit").click()
    expect(page.get_by_test_id("door")).to_have_attribute("data-state", "ready", timeout=30_000)
    take(page, "door")
