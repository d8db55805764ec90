"""The portal opens for data protection officers, for their stores, and every look has a reason."""

import re
from datetime import timedelta

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.audit import services as audit
from apps.audit import signing
from apps.audit.models import Entry
from apps.recognition.models import Recognizer
from apps.retention.holds import Hold
from apps.retention.models import Erasure, Request
from apps.retention.services.erase import CERTIFICATE_TYPE, complete, erase
from apps.retention.services.hold import place
from apps.stores.assessments import begin
from apps.stores.models import (
    Assessment,
    Breach,
    Camera,
    Device,
    Role,
    User,
    all_languages,
)
from apps.stores.policies import Policy
from apps.stores.signs import confirm
from apps.visitors.models import FormerPack, Visitor
from apps.visits.mistakes import mark_wrong
from apps.visits.services import disclose
from tests.clients import KioskTablet, browser, enrolled
from tests.conftest import House, hashed
from tests.consent.notices import new_version, third_party
from tests.groups import grouped
from tests.privacy.requests import letter, verified
from tests.visits.test_disclose import match_of, visit_of


@pytest.fixture
def officer(house: House) -> Client:
    return browser(house.dpo)


def text_of(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    return str(answer.content.decode())


def record_of(visitor: Visitor) -> str:
    return reverse("admin:visitors_visitor_change", args=[visitor.pk])


def opened(officer: Client, visitor: Visitor, reason: str = "complaint") -> str:
    """Give the reason and read the record."""
    answer = officer.post(record_of(visitor), {"reason": reason}, follow=True)
    return str(answer.content.decode())


# Who enters.


def test_nobody_enters_without_logging_in(house: House) -> None:
    answer = browser().get("/admin/", follow=True)
    assert answer.redirect_chain[-1][0] == "/login/?next=/admin/"


def test_an_officer_comes_in_through_the_one_log_in_page(house: House) -> None:
    client = browser()
    page = client.get("/admin/visitors/visitor/", follow=True)
    (address, _status) = page.redirect_chain[-1]
    answer = client.post(address, {"username": "diana", "password": "a long password"})
    assert answer["Location"] == "/admin/visitors/visitor/"
    assert client.get("/admin/visitors/visitor/").status_code == 200


def test_the_portals_own_log_in_takes_no_password(house: House) -> None:
    """A second door would be one where nobody counts attempts."""
    client = browser()
    form = {"username": "diana", "password": "a long password"}
    assert client.post("/admin/login/", form)["Location"].startswith("/login/")
    assert "_auth_user_id" not in client.session


def test_guessing_a_password_is_slowed_down(house: House) -> None:
    client = browser()
    for _attempt in range(10):
        client.post("/login/", {"username": "diana", "password": "wrong"})
    answer = client.post("/login/", {"username": "diana", "password": "a long password"})
    assert answer.status_code == 429


@pytest.mark.parametrize("who", ["staff", "superuser", "inactive officer"])
def test_nobody_but_an_officer_enters(house: House, who: str) -> None:
    user = house.staff
    if who == "superuser":
        user = User.objects.create(username="root", is_superuser=True, is_staff=True)
    client = browser(user)
    if who == "inactive officer":
        client = browser(house.dpo)
        User.objects.filter(pk=house.dpo.pk).update(is_active=False)
    visitor = house.visitor()
    for path in (
        "/admin/",
        "/admin/visitors/visitor/",
        record_of(visitor),
        "/admin/retention/request/",
        "/admin/retention/request/add/",
        "/admin/audit/entry/",
    ):
        answer = client.get(path, follow=True)
        assert answer.redirect_chain[-1][0].startswith("/login/?next=/admin/"), path
        assert "Ms Chen" not in answer.content.decode()
    request = letter(house, Request.Kind.ACCESS)
    for step in ("tie", "await", "refuse"):
        address = f"/admin/retention/request/{request.pk}/{step}/act/"
        form = {"whom": str(visitor.pk), "refusal": "nothing", "told": "letter", "text": "No."}
        assert client.post(address, form).status_code == 302
    assert Request.objects.get() == Request.objects.get(state="received", subject=None)


def test_staff_are_told_whom_they_are_logged_in_as(house: House) -> None:
    page = browser(house.staff).get("/admin/", follow=True).content.decode()
    assert "You are logged in as linda" in page


def test_who_lost_the_role_is_out_at_the_next_click(house: House, officer: Client) -> None:
    assert officer.get("/admin/").status_code == 200
    Role.objects.filter(user=house.dpo).delete()
    assert officer.get("/admin/").status_code == 302


# What they see.


def test_an_officer_sees_the_own_stores_only(
    house: House, elsewhere: House, officer: Client
) -> None:
    own, other = house.visitor(), elsewhere.visitor()
    erasure = erase(visitor=elsewhere.visitor(), cause=Erasure.Cause.REQUEST, actor="test")
    lists = {
        "visitors/visitor": (str(own.pk), str(other.pk)),
        "stores/store": ("Harbour Street", "Old Town"),
        "stores/camera": ("Lane", "Old camera"),
        "stores/device": ("Tablet", "Old tablet"),
        "stores/user": ("diana", "otto"),
        "retention/erasure": ("", str(erasure.pk)),
    }
    for path, (mine, theirs) in lists.items():
        page = text_of(officer, f"/admin/{path}/")
        assert mine in page, path
        assert theirs not in page, path
        assert "Old Town" not in page, path
    theirs_by_id = {
        "visitors/visitor": other.pk,
        "stores/store": elsewhere.store.pk,
        "stores/camera": elsewhere.camera.pk,
        "stores/device": elsewhere.kiosk.pk,
        "retention/erasure": erasure.pk,
    }
    for path, pk in theirs_by_id.items():
        answer = officer.get(f"/admin/{path}/{pk}/change/")
        assert answer.status_code in (302, 404), path
    answer = officer.post(f"/admin/visitors/visitor/{other.pk}/restrict/")
    assert answer.status_code == 404
    certificate = f"/admin/retention/erasure/{erasure.pk}/certificate/"
    assert officer.get(certificate).status_code == 404
    assert Visitor.objects.filter(pk=other.pk, restricted_at=None).exists()


def test_a_camera_cannot_be_put_into_another_officers_store(
    house: House, elsewhere: House, officer: Client
) -> None:
    assert "Old Town" not in text_of(officer, "/admin/stores/camera/add/")
    form = {**camera_form("Spy"), "store": str(elsewhere.store.pk)}
    officer.post("/admin/stores/camera/add/", form)
    assert not Camera.objects.filter(name="Spy").exists()


def camera_form(name: str) -> dict[str, str]:
    return {
        "name": name,
        "mode": "count",
        "source": "x",
        "zone": "[]",
        "line": "[]",
        "assessments-TOTAL_FORMS": "0",
        "assessments-INITIAL_FORMS": "0",
    }


def test_the_list_of_visitors_names_nobody(house: House, officer: Client) -> None:
    house.visitor("Ms Chen")
    assert "Ms Chen" not in text_of(officer, "/admin/visitors/visitor/")
    assert "Ms Chen" not in text_of(officer, "/admin/visitors/visitor/?q=Chen")


# A record.


def test_a_record_opens_for_a_reason_and_the_look_is_in_the_ledger(
    house: House, officer: Client
) -> None:
    visitor = house.visitor("Ms Chen")
    asked = text_of(officer, record_of(visitor))
    assert "Why do you open this record?" in asked
    assert "Ms Chen" not in asked
    assert not Entry.objects.filter(action="visitor.looked").exists()

    page = opened(officer, visitor, "complaint")
    assert "Ms Chen" in page
    assert "sealed face template: 1" in page
    (look,) = Entry.objects.filter(action="visitor.looked")
    assert look.actor == f"user:{house.dpo.pk}"
    assert look.detail == {"reason": "complaint", "visitor": str(visitor.pk)}
    assert look in audit.about(visitor.subject)


def test_every_further_look_is_one_more_entry(house: House, officer: Client) -> None:
    visitor = house.visitor()
    opened(officer, visitor)
    text_of(officer, record_of(visitor))
    assert Entry.objects.filter(action="visitor.looked").count() == 2


@pytest.mark.parametrize("reason", ["", "curiosity", "<b>"])
def test_a_made_up_reason_opens_nothing(house: House, officer: Client, reason: str) -> None:
    assert "Ms Chen" not in opened(officer, house.visitor("Ms Chen"), reason)
    assert not Entry.objects.filter(action="visitor.looked").exists()


def test_a_reason_holds_for_one_person_and_one_piece_of_work(house: House, officer: Client) -> None:
    one, other = house.visitor("Ms Chen"), house.visitor("Mr Okoye")
    opened(officer, one)
    assert "Mr Okoye" not in text_of(officer, record_of(other))
    session = officer.session
    reason, at = session[f"reason:{one.pk}"]
    session[f"reason:{one.pk}"] = [reason, at - 16 * 60]
    session.save()
    assert "Why do you open this record?" in text_of(officer, record_of(one))


def test_a_record_is_read_and_never_typed_into(house: House, officer: Client) -> None:
    visitor = house.visitor("Ms Chen")
    opened(officer, visitor)
    officer.post(record_of(visitor), {"greeting_name": "Someone else", "_save": "Save"})
    visitor.refresh_from_db()
    assert visitor.greeting_name == "Ms Chen"


def test_a_record_that_is_not_there_is_not_found(officer: Client) -> None:
    for key in ("nobody", "00000000-0000-0000-0000-000000000000"):
        assert officer.get(f"/admin/visitors/visitor/{key}/change/").status_code == 404


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "\u202eevil 👩🏽‍🦱"])
def test_a_name_is_text_in_the_record_too(house: House, officer: Client, name: str) -> None:
    page = opened(officer, house.visitor(name))
    assert "<script>alert" not in page


def link(page: str, testid: str) -> str:
    """Where a link or a form's button with this test id leads."""
    found = re.search(
        rf'<a href="([^"]+)"[^>]*data-testid="{testid}"'
        rf'|action="([^"]+)"(?:(?!</form>).)*data-testid="{testid}"',
        page,
        re.DOTALL,
    )
    assert found, f"no {testid} on the page"
    return found[1] or found[2]


def test_erasing_begins_with_the_request_that_asked_for_it(house: House, officer: Client) -> None:
    """No button erases somebody by one officer's hand: see tests/privacy/test_requests.py."""
    visitor = house.visitor()
    leads = link(opened(officer, visitor), "visitor-erase").replace("&amp;", "&")
    form = text_of(officer, leads)
    assert f'value="{visitor.pk}"' in form
    assert '<option value="erasure" selected>' in form
    assert Visitor.objects.exists()


def test_the_certificate_of_an_erasure_is_downloaded(house: House, officer: Client) -> None:
    erasure = erase(visitor=house.visitor(), cause=Erasure.Cause.REQUEST, actor="test")
    complete(erasure)
    certificate = officer.get(f"/admin/retention/erasure/{erasure.pk}/certificate/")
    assert certificate["Content-Disposition"] == 'attachment; filename="certificate.jws"'
    facts = signing.verify(certificate.content.decode(), signing.public_jwk(), CERTIFICATE_TYPE)
    assert facts["cause"] == "request"


def silent_recognizer() -> Recognizer:
    """A recognizer that runs and has not acknowledged anything yet."""
    now = timezone.now()
    return Recognizer.objects.create(
        pack="consentry-starter",
        pack_version="1",
        licence="Apache-2.0",
        commercial=True,
        generation=1,
        started_at=now - timedelta(hours=1),
        seen_at=now + timedelta(seconds=60),
    )


def test_an_erasure_that_waits_for_a_recognizer_is_not_called_done(
    house: House, officer: Client
) -> None:
    silent_recognizer()
    erasure = erase(visitor=house.visitor(), cause=Erasure.Cause.REQUEST, actor="test")
    page = text_of(officer, f"/admin/retention/erasure/{erasure.pk}/change/")
    assert "waiting for a recognizer" in page
    assert officer.get(f"/admin/retention/erasure/{erasure.pk}/certificate/").status_code == 404


def test_recognition_is_paused_and_resumed(house: House, officer: Client) -> None:
    visitor = house.visitor()
    officer.post(link(opened(officer, visitor), "visitor-restrict"))
    visitor.refresh_from_db()
    assert visitor.restricted_at is not None
    page = opened(officer, visitor)
    assert "Resume recognition" in page
    officer.post(link(page, "visitor-restrict"))
    visitor.refresh_from_db()
    assert visitor.restricted_at is None
    acts = [entry.action for entry in audit.about(visitor.subject)]
    assert {"visitor.restricted", "visitor.restriction_lifted"} <= set(acts)


def test_a_look_at_an_address_changes_nothing(house: House, officer: Client) -> None:
    visitor = house.visitor()
    officer.get(f"/admin/visitors/visitor/{visitor.pk}/restrict/")
    visitor.refresh_from_db()
    assert visitor.restricted_at is None


# What they do.


def act(officer: Client, what: str, *devices: Device) -> str:
    form = {"action": what, "_selected_action": [str(device.pk) for device in devices]}
    return str(officer.post("/admin/stores/device/", form, follow=True).content.decode())


def test_an_officer_gives_a_tablet_its_code_and_stops_it(house: House, officer: Client) -> None:
    page = act(officer, "give_code", house.kiosk)
    found = re.search(r"Type ([A-Z2-9]{4}-[A-Z2-9]{4}) at the tablet", page)
    assert found
    tablet = KioskTablet()
    assert tablet.enroll(found[1]).status == 200
    assert tablet.signed("/kiosk/refuse/", b'{"purposes": []}').status == 204
    assert found[1] not in text_of(officer, "/admin/stores/device/"), "it is shown only once"
    assert "Stopped" in act(officer, "revoke", house.kiosk)
    assert tablet.signed("/kiosk/refuse/", b'{"purposes": []}').status == 403
    done = Entry.objects.filter(actor=f"user:{house.dpo.pk}").values_list("action", flat=True)
    assert {"device.code_made", "device.revoked"} <= set(done)
    assert found[1] not in str(list(Entry.objects.values_list("detail", flat=True)))


def test_an_officer_cannot_stop_another_stores_tablet(
    house: House, elsewhere: House, officer: Client
) -> None:
    tablet = enrolled(elsewhere.kiosk)
    act(officer, "revoke", elsewhere.kiosk)
    assert tablet.signed("/kiosk/refuse/", b'{"purposes": []}').status == 204


def test_every_change_of_a_store_names_who_made_it(house: House, officer: Client) -> None:
    form = {
        "organization": str(house.organization.pk),
        "name": "Harbour Street",
        "slug": "harbour-street",
        "jurisdiction": "eu",
        "non_face_check_in": "Ask at the desk.",
        "languages": all_languages(),
        "absence_minutes": "30",
        "cool_down_minutes": "0",
    }
    officer.post(f"/admin/stores/store/{house.store.pk}/change/", form)
    entry = Entry.objects.get(action="store.changed")
    assert entry.actor == f"user:{house.dpo.pk}"
    assert entry.detail["fields"] == ["non_face_check_in"]


def test_a_jurisdiction_without_a_pack_is_not_saved(house: House, officer: Client) -> None:
    form = {
        "organization": str(house.organization.pk),
        "name": "Harbour Street",
        "slug": "harbour-street",
        "jurisdiction": "atlantis",
        "absence_minutes": "30",
        "cool_down_minutes": "0",
    }
    page = officer.post(f"/admin/stores/store/{house.store.pk}/change/", form)
    assert "There is no jurisdiction pack" in page.content.decode()


def test_the_ledger_is_read_and_nothing_else(house: House, officer: Client) -> None:
    entry = Entry.objects.earliest("seq")
    assert entry.action in text_of(officer, "/admin/audit/entry/")
    page = text_of(officer, f"/admin/audit/entry/{entry.seq}/change/")
    assert bytes(entry.leaf).hex() in page
    assert 'name="_save"' not in page
    for path in ("add/", f"{entry.seq}/delete/"):
        assert officer.get(f"/admin/audit/entry/{path}").status_code == 403
        assert officer.post(f"/admin/audit/entry/{path}", {"post": "yes"}).status_code == 403
    change = {"actor": "nobody", "action": "nothing"}
    assert officer.post(f"/admin/audit/entry/{entry.seq}/change/", change).status_code == 403
    delete = {"action": "delete_selected", "_selected_action": [entry.seq], "post": "yes"}
    officer.post("/admin/audit/entry/", delete)
    assert Entry.objects.filter(seq=entry.seq).exists()
    assert audit.verify().ok


# The first page.


def number(page: str, testid: str) -> int:
    found = re.search(rf'data-testid="{testid}">\s*<b>(\d+)</b>', page)
    assert found, testid
    return int(found[1])


def test_the_first_page_says_what_waits_and_what_is_late(house: House, officer: Client) -> None:
    silent_recognizer()
    fresh = erase(visitor=house.visitor(), cause=Erasure.Cause.WITHDRAWAL, actor="self")
    late = erase(visitor=house.visitor(), cause=Erasure.Cause.WITHDRAWAL, actor="self")
    long_ago = timezone.now() - timedelta(minutes=20)
    Erasure.objects.filter(pk=late.pk).update(requested_at=long_ago)
    page = text_of(officer, "/admin/")
    assert number(page, "number-overdue") == 1
    assert number(page, "number-open") == 2
    for erasure in (fresh, late):
        address = f"retention/erasure/{erasure.pk}/change/"
        assert address in page
        assert officer.get(f"/admin/{address}").status_code == 200
    assert "consentry-starter" in page


def test_the_first_page_shows_that_data_is_past_its_time(house: House, officer: Client) -> None:
    assert "nothing overdue" in text_of(officer, "/admin/")
    visitor = house.visitor()
    visitor.templates.all().delete()
    page = text_of(officer, "/admin/")
    assert "1 overdue" in page


def test_the_first_page_says_why_a_camera_may_not_run(house: House, officer: Client) -> None:
    Assessment.objects.all().delete()
    page = text_of(officer, "/admin/")
    assert "may not run" in page
    assert "signed and not expired" in page


# Every kind of page.


def hold_of(visitor: Visitor) -> Hold:
    """A hold on what proves that this person agreed."""
    return place(
        subject=visitor.subject,
        ground=Hold.Ground.PROOF,
        reason="Case 12",
        ends_at=timezone.now() + timedelta(days=30),
        actor="test",
    )


def duties(house: House) -> list[str]:
    """Addresses of the officer's duties, with something in each."""
    draft = begin(camera=house.camera, user=house.dpo)
    breach = Breach.objects.create(
        organization=house.organization, what="x", discovered_at=timezone.now(), kinds=["name"]
    )
    confirm(camera=house.camera, user=house.dpo)
    of = house.organization.pk
    inside = ["", f"records/{of}/", "processors/", f"faces/{of}/", "signs/", "breaches/"]
    inside += ["breaches/new/", *(f"breaches/{breach.pk}/{path}" for path in BREACH)]
    signed = Assessment.objects.exclude(pk=draft.pk).latest("pk")
    return [
        *(f"/admin/duties/{path}" for path in inside),
        f"/admin/stores/assessment/{draft.pk}/document/",
        f"/admin/stores/assessment/{signed.pk}/document/",
    ]


BREACH = ("", "edit/", "people/", "authority/", "letter/ar/")


def pages(house: House) -> list[str]:
    """One address of every kind that the portal has."""
    visitor = house.visitor()
    erasure = erase(visitor=house.visitor(), cause=Erasure.Cause.REQUEST, actor="test")
    notice = new_version(house)
    FormerPack.objects.create(name="consentry-former", version="1", left_at=timezone.now())
    third_party(house.organization)
    grouped(house)
    letter(house, Request.Kind.ACCESS)
    hold_of(visitor)
    Policy.objects.create(store=house.store, kind="lane", days=90)
    audit.checkpoint()
    ready = verified(house, visitor, Request.Kind.ERASURE)
    found = ["/admin/", "/admin/password_change/", f"/admin/retention/request/{ready.pk}/preview/"]
    found.append(f"/admin/visitors/visitor/{visitor.pk}/history/")
    found += duties(house)
    for model, owner in admin.site._registry.items():
        label = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        found.append(reverse("admin:app_list", args=[model._meta.app_label]))
        found.append(reverse(f"{label}_changelist"))
        row = {Erasure: erasure, Visitor: visitor, type(notice): notice, Request: ready}.get(model)
        row = row or model._default_manager.first()
        assert row is not None, model
        found.append(reverse(f"{label}_change", args=[row.pk]))
        if getattr(owner, "writable", False):
            found.append(reverse(f"{label}_add"))
        found.append(reverse(f"{label}_delete", args=[row.pk]))
    return list(dict.fromkeys(found))


def inline_code(page: str) -> list[str]:
    """What a strict policy would refuse: inline scripts, styles and handlers."""
    scripts = re.findall(r"<script(?![^>]*\ssrc=)(?![^>]*application/json)[^>]*>", page)
    styles = re.findall(r"<style\b[^>]*>|<[a-z][^>]*\sstyle=[\"'][^>]*>", page)
    handlers = re.findall(r"<[a-z][^>]*\son[a-z]+=[\"'][^>]*>|href=\"javascript:[^\"]*\"", page)
    return [*scripts, *styles, *handlers]


def test_the_first_page_shows_the_false_greetings_of_the_own_stores(
    house: House, officer: Client, elsewhere: House
) -> None:
    assert "nobody arrived this week" in text_of(officer, "/admin/")
    for name in ("Ms Chen", "Mr Okoye"):
        visit = visit_of(disclose(match_of(house.visitor(name), house, score=0.456789)))
    mark_wrong(visit=visit, user=house.staff)
    page = text_of(officer, "/admin/")
    assert "1 of 2 this week (50.0 %)" in page
    assert "<td>0.46</td><td>0.40</td>" in page
    assert "Mr Okoye" not in page
    theirs = text_of(browser(elsewhere.dpo), "/admin/")
    assert "nobody arrived this week" in theirs
    assert 'data-testid="false-scores"' not in theirs


def test_a_manager_gets_none_of_its_pages(house: House) -> None:
    """Neither requests nor visitors, neither ledger nor calibration: the insights alone."""
    manager = User.objects.create(username="mara", password=hashed())
    Role.objects.create(user=manager, store=house.store, kind=Role.Kind.MANAGER)
    client = browser(manager)
    closed = [each for each in pages(house) if each != "/admin/"]
    assert len(closed) > 60
    for path in (*closed, "/admin/systems/", "/admin/jsi18n/"):
        answer = client.get(path, follow=True)
        assert answer.redirect_chain[-1][0].startswith("/login/?next=/admin/"), path
        assert client.post(path).status_code == 302, path
    visitor = Visitor.objects.first()
    assert visitor
    assert client.post(f"/admin/visitors/visitor/{visitor.pk}/restrict/").status_code == 302
    assert not Visitor.objects.exclude(restricted_at=None).exists()
    for path in (f"/floor/{house.store.slug}/", f"/asked/{house.store.slug}/"):
        assert client.get(path).status_code in (403, 404), path
    assert client.get("/admin/insights/").status_code == 200


def test_every_page_keeps_the_strict_policy(house: House, officer: Client) -> None:
    seen = set()
    for path in pages(house):
        answer = officer.get(path, follow=False)
        seen.add(answer.status_code)
        assert answer.status_code in (200, 302, 403), path
        policy = answer["Content-Security-Policy"]
        assert "unsafe" not in policy, path
        assert "default-src 'self'" in policy
        assert "no-store" in answer["Cache-Control"], path
        assert "camera=()" in answer["Permissions-Policy"], path
        assert inline_code(answer.content.decode()) == [], path
    assert seen >= {200, 403}
    login = browser().get("/login/")
    assert "unsafe" not in login["Content-Security-Policy"]
    assert inline_code(login.content.decode()) == []


# Queries.


def more_rows(house: House) -> None:
    """Ten more of everything that a list shows."""
    for index in range(10):
        hold_of(house.visitor())
        erase(visitor=house.visitor(), cause=Erasure.Cause.REQUEST, actor="test")
        Device.objects.create(store=house.store, name=f"Tablet {index}")
        camera = Camera.objects.create(
            store=house.store, name=f"Lane {index}", mode=Camera.Mode.LANE, source="x"
        )
        now = timezone.now()
        Assessment.objects.create(
            camera=camera,
            necessity="x",
            signed_by=house.dpo,
            signed_at=now,
            expires_at=now + timedelta(days=1),
        )
        user = User.objects.create(username=f"user {index}")
        Role.objects.create(user=user, store=house.store, kind=Role.Kind.STAFF)
        new_version(house)
        third_party(house.organization, name=f"Hosting {index}")
        letter(house, Request.Kind.ACCESS)
        grouped(name=f"Group {index}", organization=house.organization)
    audit.checkpoint()


def queries(client: Client, path: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as context:
        assert client.get(path).status_code == 200
    return len(context)


# How many queries each list takes, however long it is. A new one is a decision.
QUERIES = {
    "": 55,
    "audit/entry/": 6,
    "audit/checkpoint/": 6,
    "consent/notice/": 6,
    "retention/erasure/": 6,
    "retention/request/": 6,
    "retention/hold/": 6,
    "stores/assessment/": 6,
    "recognition/calibration/": 15,
    "stores/camera/": 9,
    "stores/device/": 6,
    "stores/organization/": 6,
    "stores/policy/": 5,
    "stores/store/": 6,
    "stores/storegroup/": 7,
    "stores/thirdparty/": 6,
    "stores/user/": 6,
    "visitors/formerpack/": 7,
    "visitors/visitor/": 7,
}


def test_no_list_asks_the_database_once_a_row(house: House, officer: Client) -> None:
    hold_of(house.visitor())
    erase(visitor=house.visitor(), cause=Erasure.Cause.REQUEST, actor="test")
    grouped(house)
    audit.checkpoint()
    lists = {
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for model in admin.site._registry
    }
    assert lists | {"/admin/"} == {f"/admin/{path}" for path in QUERIES}, "a new list belongs here"
    assert {path: queries(officer, f"/admin/{path}") for path in QUERIES} == QUERIES
    more_rows(house)
    assert {path: queries(officer, f"/admin/{path}") for path in QUERIES} == QUERIES
