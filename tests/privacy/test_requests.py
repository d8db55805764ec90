"""From the receipt page, the counter and the portal: asked, proved, approved, packed, answered."""

import io
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import jsonschema
import pytest
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from pypdf import PdfReader
from pypdf.errors import FileNotDecryptedError
from pytest_django.fixtures import Settings

from apps.audit import services as audit
from apps.audit.models import Entry
from apps.privacy import tasks
from apps.privacy.requests import alarms, clock, decide, identity, packages
from apps.privacy.requests.rows import RequestRefused
from apps.retention.models import Erasure, Package, Request
from apps.retention.services.erase import erase
from apps.retention.services.sweep import sweep
from apps.stores.models import Role, User
from apps.stores.witnesses import new_code
from apps.systems.models import Delivery, Event
from apps.visitors import services as visitors
from apps.visitors.models import Visitor
from apps.visits.services import disclose
from tests.clients import browser
from tests.conftest import House, build_house, hashed
from tests.consent.notices import third_party
from tests.database import run
from tests.people import manage
from tests.postbox import Postbox, by_mail, postbox
from tests.privacy.conftest import Customer
from tests.privacy.requests import (
    OFFICER,
    SECOND,
    THIRD,
    Kind,
    State,
    Told,
    approved,
    letter,
    tied,
    verified,
)
from tests.privacy.test_portal import number, text_of
from tests.systems.others import listening
from tests.visits.test_disclose import match_of
from tests.waiting import until


@pytest.fixture
def officer(house: House) -> Client:
    return browser(house.dpo)


@pytest.fixture
def second(house: House) -> Client:
    user = User.objects.create(username="dora", password=hashed(), first_name="Dora")
    Role.objects.create(user=user, store=house.store, kind=Role.Kind.DPO)
    return browser(user)


@pytest.fixture
def box(house: House, settings: Settings) -> "Postbox":  # type: ignore[misc]
    with postbox() as box:
        by_mail(settings, box.url)
        yield box


def act(client: Client, request: Request, step: str, **form: str) -> str:
    answer = client.post(f"/admin/retention/request/{request.pk}/{step}/act/", form, follow=True)
    assert answer.status_code in (200, 409), (step, answer.status_code)
    request.refresh_from_db()
    return str(answer.content.decode())


def shown(page: str, testid: str) -> str:
    found = re.search(rf'data-testid="{testid}">([^<]+)<', page)
    assert found, f"no {testid} on the page"
    return found[1]


def opened(file: bytes, passphrase: str) -> PdfReader:
    reader = PdfReader(io.BytesIO(file))
    assert reader.decrypt(passphrase)
    return reader


def words_of(reader: PdfReader) -> str:
    return " ".join(" ".join(page.extract_text() for page in reader.pages).split())


# Asked on the receipt page.


def test_a_copy_is_asked_for_approved_and_fetched_on_the_receipt_page(
    house: House, customer: Customer, officer: Client
) -> None:
    third_party(house.organization, name="Hosting Ltd")
    disclose(match_of(customer.visitor, house))
    other = house.visitor("Mr Okoye")
    page = customer.text("ask/", kind="access", words="Everything.")
    passphrase = shown(page, "passphrase")
    request = Request.objects.get()
    assert (request.state, request.verified_how) == (State.VERIFIED, "receipt")
    assert passphrase not in customer.text(), "it is shown only once"
    assert customer.post("ask/", kind="access").status_code == 409, "it is under way"

    page = act(officer, request, "approve", answer="Here it is.")
    assert "passphrase" not in page.lower(), "the officer never learns it"
    assert "step 0 of 4" in page
    tasks.requests()
    page = customer.text()
    assert "Here it is." in page
    file = customer.post("package/", request=str(request.pk))
    assert file["Content-Type"] == "application/pdf"
    with pytest.raises(FileNotDecryptedError):
        words_of(PdfReader(io.BytesIO(file.content)))
    reader = opened(file.content, passphrase)
    words = words_of(reader)
    for held in ("Ms Chen", "chen@example.org", "Hosting Ltd", "Everything.", "Harbour Street"):
        assert held in words, held
    for nobodys in ("Mr Okoye", str(other.pk), "Linda", "Diana", "linda", "diana"):
        assert nobodys not in words
    data = json.loads(reader.attachments["everything.json"][0])
    schema = json.loads(reader.attachments["schema.json"][0])
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(data, schema, jsonschema.Draft202012Validator)
    assert [each["number"] for each in data["requests"]] == [request.number]
    assert [each["name"] for each in data["recipients"]] == ["Hosting Ltd"]
    assert len(data["visits"]) == 1
    assert {"You", "Someone who works here"} <= {each["who"] for each in data["ledger"]}
    everything = json.dumps(data)
    assert not re.search(r"Okoye|[Ll]inda|[Dd]iana", everything)


def test_what_is_said_of_a_correction_is_not_lost_when_it_is_incomplete(
    house: House, customer: Customer, officer: Client
) -> None:
    assert "Please say in your own words" in customer.text("ask/", kind="rectification")
    page = customer.text("ask/", kind="nonsense", words="It is Ms Chan.")
    assert "It is Ms Chan." in page
    customer.post("ask/", kind="rectification", words="It is Ms Chan.")
    request = Request.objects.get()
    assert "It is Ms Chan." in text_of(officer, f"/admin/retention/request/{request.pk}/change/")
    listening(house)
    disclose(match_of(customer.visitor, house))
    page = act(officer, request, "approve", name="", answer="Corrected.")
    assert request.state == State.ANSWERED
    assert not Delivery.objects.endings().exists()
    customer.post("ask/", kind="rectification", words="Really.")
    request = Request.objects.open().get()
    act(officer, request, "approve", name="Ms Chan", answer="Corrected.")
    customer.visitor.refresh_from_db()
    assert customer.visitor.greeting_name == "Ms Chan"
    assert Delivery.objects.endings().get().event == Event.RECTIFIED
    assert "Corrected." in customer.text()


def test_an_officer_corrects_how_a_name_is_said_and_whom_they_ask_for(
    house: House, customer: Customer, officer: Client
) -> None:
    visitor = customer.visitor
    visitors.rename(
        visitor=visitor, greeting_name="Ms Chan", say_as="Chahn", asks_for="Marco", actor="self"
    )
    customer.post("ask/", kind="rectification", words="You say it wrong.")
    request = Request.objects.get()
    page = act(officer, request, "approve", say_as="x" * 61, asks_for="Yuki", answer="So be it.")
    assert request.state == State.VERIFIED
    assert 'value="Yuki"' in page
    act(officer, request, "approve", say_as=" Chan, as in can ", answer="So be it.")
    visitor.refresh_from_db()
    assert (visitor.greeting_name, visitor.say_as, visitor.asks_for) == (
        "Ms Chan",
        "Chan, as in can",
        "Marco",
    )


# Typed in, proved, answered.


def typed(officer: Client, house: House, kind: str, **changes: str) -> HttpResponse:
    form = {
        "store": str(house.store.pk),
        "source": "letter",
        "kind": kind,
        "received": str(timezone.now().date()),
        "words": "Please.",
        "reach": "chen@elsewhere.example",
        "whom": "",
        **changes,
    }
    answer = officer.post("/admin/retention/request/add/", form)
    assert isinstance(answer, HttpResponse)
    return answer


def test_a_letter_is_typed_in_and_its_time_runs_from_the_day_it_came(
    house: House, officer: Client, elsewhere: House
) -> None:
    ago = str((timezone.now() - timedelta(days=40)).date())
    page = typed(officer, house, "access", received=ago)
    request = Request.objects.get()
    assert page["Location"] == f"/admin/retention/request/{request.pk}/change/"
    first = text_of(officer, "/admin/")
    assert [number(first, f"number-{each}") for each in ("overdue", "week", "open")] == [1, 0, 1]
    assert request.number in first
    board = text_of(officer, "/admin/retention/request/")
    assert "overdue by" in board
    for day in ("2999-01-01", "yesterday"):
        again = typed(officer, house, "access", received=day, words="Do not lose this.")
        assert again.status_code == 400
        assert "Do not lose this." in again.content.decode()
    assert typed(officer, house, "access", whom="nobody").status_code == 409
    assert typed(officer, elsewhere, "access").status_code == 400
    assert Request.objects.count() == 1
    theirs = browser(elsewhere.dpo)
    assert theirs.get(page["Location"]).status_code == 404
    assert request.number not in text_of(theirs, "/admin/retention/request/")
    assert theirs.post(f"/admin/retention/request/{request.pk}/await/act/").status_code == 404


def test_a_look_at_a_request_is_in_the_ledger(
    house: House, customer: Customer, officer: Client
) -> None:
    customer.post("ask/", kind="objection", words="Not me.")
    text_of(officer, f"/admin/retention/request/{Request.objects.get().pk}/change/")
    (look,) = [each for each in audit.about(customer.visitor.subject) if "opened" in each.action]
    assert (look.action, look.actor) == ("request.opened", f"user:{house.dpo.pk}")
    assert "opened your request" in customer.text()


def test_a_code_goes_to_the_contact_on_record_and_works_once(
    house: House, customer: Customer, officer: Client, box: Postbox
) -> None:
    typed(officer, house, "access", whom="chen@example.org", source="phone")
    request = Request.objects.get()
    assert request.subject == customer.visitor.subject
    page = act(officer, request, "send")
    (message,) = box.taken
    assert message["To"] == "chen@example.org"
    assert "Ms Chen" not in str(message)
    (code,) = re.findall(r"[A-Z2-9]{4}-[A-Z2-9]{4}", message.get_content())
    assert code not in page
    assert request.stopped_at is not None, "the clock stands still"
    # For another request of theirs it is nothing.
    other = tied(letter(house, Kind.ERASURE), customer.visitor)
    assert "wrong, used, or too old" in act(officer, other, "code", code=code)
    assert "wrong, used, or too old" in act(officer, request, "code", code="AAAA-AAAA")
    act(officer, request, "code", code=code.lower().replace("-", " "))
    assert (request.state, request.verified_how) == (State.VERIFIED, "code")
    assert "not possible any more" in act(officer, request, "code", code=code), "replayed"
    assert code not in str(list(Entry.objects.values_list("detail", flat=True)))


def test_a_code_dies_of_wrong_ones_and_of_age(
    house: House, customer: Customer, officer: Client, box: Postbox
) -> None:
    for kind in (Kind.ACCESS, Kind.PORTABILITY):
        request = tied(letter(house, kind), customer.visitor)
        act(officer, request, "send")
        (code,) = re.findall(r"[A-Z2-9]{4}-[A-Z2-9]{4}", box.taken[-1].get_content())
        if kind == Kind.ACCESS:
            for _wrong in range(identity.TRIES):
                act(officer, request, "code", code="BBBBBBBB")
        else:
            Request.objects.filter(pk=request.pk).update(code_expires_at=timezone.now())
        assert "wrong, used, or too old" in act(officer, request, "code", code=code)
        assert request.state == State.IDENTITY


def test_staff_write_down_what_somebody_before_them_asks(
    house: House, customer: Customer, officer: Client
) -> None:
    disclose(match_of(customer.visitor, house))
    linda, page = browser(house.staff), f"/asked/{house.store.slug}/"
    assert "Ms Chen" in text_of(linda, page)
    visit = str(customer.visitor.visits.get().pk)
    answer = linda.post(page, {"whom": visit, "kind": "access", "words": "All of it."})
    assert "Written down as request" in answer.content.decode()
    request = Request.objects.get()
    assert (request.state, request.verified_how) == (State.VERIFIED, "witness")
    assert request.verified_by == f"user:{house.staff.pk}"
    linda.post(page, {"whom": "", "kind": "erasure", "words": "I was here."})
    unknown = Request.objects.get(kind=Kind.ERASURE)
    assert (unknown.state, unknown.subject) == (State.RECEIVED, None)
    assert browser(house.dpo).get(page).status_code == 404


def test_a_package_for_a_letter_goes_by_a_link_that_dies(
    house: House, customer: Customer, officer: Client
) -> None:
    request = tied(letter(house, Kind.ACCESS), customer.visitor)
    code = new_code(user=house.staff, store=house.store)
    act(officer, request, "witness", code=code)
    page = act(officer, request, "approve", answer="")
    passphrase = shown(page, "passphrase")
    assert "not ready yet" in act(officer, request, "link")
    assert "not ready yet" in act(officer, request, "answer", told="letter", text="Sent.")
    tasks.requests()
    package = Package.objects.get()
    assert package.wrapped is None, "the passphrase is forgotten"
    assert passphrase not in text_of(officer, f"/admin/retention/request/{request.pk}/change/")
    first = shown(act(officer, request, "link"), "package-link").partition("#")[2]
    secret = shown(act(officer, request, "link"), "package-link").partition("#")[2]
    anybody = browser()
    assert anybody.post("/package/", {"secret": first}).status_code == 404, "the link before"
    file = anybody.post("/package/", {"secret": secret})
    assert "Ms Chen" in words_of(opened(file.content, passphrase))
    package.refresh_from_db()
    assert package.delete_after <= timezone.now() + packages.AFTER_FETCH
    assert anybody.post("/package/", {"secret": secret}).status_code == 200, "it broke off"
    Package.objects.update(delete_after=timezone.now())
    assert anybody.post("/package/", {"secret": secret}).status_code == 404
    act(officer, request, "anew")
    tasks.requests()
    act(officer, request, "answer", told="letter", text="Sent.")
    assert request.state == State.ANSWERED
    Package.objects.update(delete_after=timezone.now())
    assert sweep().packages == 1


def test_a_house_that_makes_no_pdf_says_so_and_makes_the_package_later(
    house: House, customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = approved(house, customer.visitor, Kind.ACCESS)
    with monkeypatch.context() as without:
        without.setitem(__import__("sys").modules, "weasyprint", None)
        tasks.requests()
    request.refresh_from_db()
    assert (request.state, request.problem) == (State.PARTIAL, packages.NO_PACKAGE)
    with pytest.raises(RequestRefused):
        decide.answer(request=request, told=Told.LETTER, text="Done.", actor=OFFICER)
    packages.again(request=request, actor=OFFICER)
    tasks.requests()
    request.refresh_from_db()
    assert (request.state, Package.objects.get().state) == (State.APPROVED, "ready")


def test_an_erasure_by_letter_takes_two_officers_and_says_what_it_does(
    house: House, customer: Customer, officer: Client, second: Client
) -> None:
    typed(officer, house, "erasure", whom=str(customer.visitor.pk))
    request = Request.objects.get()
    preview = f"/admin/retention/request/{request.pk}/preview/"
    assert officer.get(preview).status_code == 302, "not before they are known"
    act(officer, request, "receipt", code="wrong")
    assert request.state == State.RECEIVED
    act(officer, request, "receipt", code=customer.secret)
    plan = text_of(officer, preview)
    assert "sealed face template" in plan
    assert "until: 1095 days after the end of consent" in plan
    act(officer, request, "propose")
    assert "second person has to approve" in text_of(officer, preview)
    assert "second person has to approve" in act(officer, request, "approve")
    assert Visitor.objects.exists()
    assert "Approve, and erase for good" in text_of(second, preview)
    page = act(second, request, "approve")
    assert not Visitor.objects.exists()
    assert 'data-testid="request-erasure"' in page
    assert "not possible any more" in act(second, request, "refuse", **REFUSAL)
    act(second, request, "answer", told="letter", text="Erased; the certificate is enclosed.")
    assert request.state == State.ANSWERED


REFUSAL = {"refusal": "grounds", "told": "letter", "text": "Because."}


def test_an_answer_by_e_mail_is_sent_before_it_is_written_down(
    house: House, customer: Customer, box: Postbox, settings: Settings
) -> None:
    request = letter(house, Kind.ERASURE, reach="someone@example.org")
    how = {"request": request, "reason": Request.Refusal.NOTHING, "actor": OFFICER}
    by_mail(settings, "smtp://127.0.0.1:1")
    with pytest.raises(RequestRefused, match="did not take"):
        decide.refuse(**how, told=Told.MAIL, text="We hold nothing about you.")  # type: ignore[arg-type]
    assert Request.objects.get().state == State.RECEIVED
    by_mail(settings, box.url)
    decide.refuse(**how, told=Told.MAIL, text="We hold nothing about you.")  # type: ignore[arg-type]
    (message,) = box.taken
    assert message["To"] == "someone@example.org"
    assert "We hold nothing about you." in message.get_content()


def test_an_extension_is_told_by_e_mail_before_it_holds(
    house: House, officer: Client, box: Postbox
) -> None:
    request = letter(house, Kind.ACCESS, reach="someone@example.org")
    due = request.due_at
    box.unknown.add("someone@example.org")
    page = act(officer, request, "extend", reason="Three stores hold data.", told="mail")
    assert "did not take" in page
    assert "Three stores hold data." in page, "what was typed is not lost"
    assert request.due_at == due
    box.unknown.clear()
    act(officer, request, "extend", reason="Three stores hold data.", told="mail")
    assert request.due_at > due
    (message,) = box.taken
    assert "Three stores hold data." in message.get_content()
    assert "There is one extension" in act(
        officer, request, "extend", reason="Again.", told="letter"
    )


# The alarms.


def test_officers_are_told_at_each_mark_once(house: House, box: Postbox) -> None:
    User.objects.filter(pk=house.dpo.pk).update(email="diana@harbour.example")
    for days in (10, 20, 27, 40):
        letter(house, Kind.ACCESS, days_ago=days)
    assert alarms.escalate() == 3
    assert alarms.escalate() == 0
    subjects = " / ".join(str(each["Subject"]) for each in box.taken)
    assert subjects.count("Overdue") == 1
    assert subjects.count("80 %") == 1
    assert subjects.count("50 %") == 1
    assert {str(each["To"]) for each in box.taken} == {"diana@harbour.example"}
    assert sorted(Request.objects.values_list("alarmed", flat=True)) == [0, 50, 80, 100]
    assert Entry.objects.filter(action="request.alarm").count() == 3


def test_where_no_mail_goes_the_mark_is_passed_all_the_same(
    house: House, settings: Settings
) -> None:
    by_mail(settings, "")
    letter(house, Kind.ACCESS, days_ago=40)
    identity.await_proof(request=letter(house, Kind.ACCESS, days_ago=40), actor=OFFICER)
    assert alarms.escalate() == 0
    assert set(Request.objects.values_list("alarmed", flat=True)) == {0, 100}


# What fails in the middle.


@pytest.fixture
def town(transactional_db: None) -> House:
    return build_house()


def test_nobody_who_withdraws_waits_for_a_mail_server(town: House, settings: Settings) -> None:
    """It takes the message and is silent. Meanwhile nothing is locked, nobody else sends the same,
    and when it hangs up, nothing was written."""
    visitor = town.visitor()
    late = verified(town, visitor, Kind.RECTIFICATION)
    ready = approved(town, visitor, Kind.RECTIFICATION)
    Request.objects.update(reach="someone@example.org")
    settings.EMAIL_TIMEOUT = 120
    how: dict[str, Any] = {"told": Told.MAIL, "actor": OFFICER}
    refusal = Request.Refusal.GROUNDS
    steps: list[Callable[[], object]] = [
        lambda: clock.extend(request=late, reason="Three stores.", **how),
        lambda: decide.refuse(request=late, reason=refusal, text="Because.", **how),
        lambda: decide.answer(request=ready, text="Corrected.", **how),
    ]

    def alone(step: Callable[[], object]) -> str:
        try:
            step()
        except RequestRefused as refused:
            return refused.code
        finally:
            connection.close()
        return "done"

    for step in steps:
        with postbox(silent=True) as box, ThreadPoolExecutor(1) as pool:
            by_mail(settings, box.url)
            sending = pool.submit(alone, step)
            assert box.asked.wait(60)
            with transaction.atomic():
                # Raises where somebody holds them.
                Visitor.objects.select_for_update(nowait=True).get()
                list(Request.objects.select_for_update(nowait=True))
            with pytest.raises(RequestRefused, match="Somebody else"):
                step()
            if step is steps[1]:
                with pytest.raises(RequestRefused, match="Somebody else"):
                    decide.approve(request=late, actor=OFFICER, name="Ms Li")
            box.ended.set()
            assert sending.result(60) == "mail"
    assert set(Request.objects.values_list("state", flat=True)) == {"verified", "approved"}
    with postbox() as box:
        by_mail(settings, box.url)
        for step in steps:
            step()
        assert len(box.taken) == 3


def test_a_package_whose_worker_was_killed_is_made_by_the_next_one_and_once(town: House) -> None:
    request = approved(town, town.visitor("Ms Chen"), Kind.ACCESS)
    package = Package.objects.get(request=request)
    build = f"from apps.privacy.tasks import build_package; build_package({str(package.pk)!r})"
    with transaction.atomic():
        # Whoever writes into the ledger waits: the last step of all.
        run(f"SELECT pg_advisory_xact_lock({audit.LOCK})")
        worker = manage("shell", "-v", "0", "-c", build)
        until(lambda: waits() or worker.poll() is not None, seconds=120)
        package.refresh_from_db()
        assert (package.state, package.steps) == (Package.State.BUILDING, 3)
        tasks.build_package(str(package.pk))
        package.refresh_from_db()
        assert package.state == Package.State.BUILDING, "never by two"
        worker.kill()
        worker.communicate()
    until(lambda: not locked(), seconds=30)
    tasks.requests()
    package.refresh_from_db()
    assert package.state == Package.State.READY
    tasks.requests()
    assert Entry.objects.filter(action="request.package_ready").count() == 1


def waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'")
        return bool(cursor.fetchone()[0])


def locked() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
               WHERE classid = %s AND locktype = 'advisory' AND datname = current_database()""",
            [packages.LOCK],
        )
        return bool(cursor.fetchone()[0])


def test_two_who_approve_at_once_do_it_once(town: House) -> None:
    request = verified(town, town.visitor(), Kind.ERASURE)
    decide.propose(request=request, actor=OFFICER)

    def approve(who: str) -> str:
        try:
            decide.approve(request=request, actor=who)
        except RequestRefused as refusal:
            return refusal.code
        finally:
            connection.close()
        return "done"

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(approve, [SECOND, THIRD]))
    assert outcomes in (["approve", "done"], ["busy", "done"])
    assert Entry.objects.filter(action="request.approved").count() == 1
    assert Entry.objects.filter(action="visitor.erased").count() == 1


def test_who_is_erased_while_their_package_is_made_leaves_none(town: House) -> None:
    visitor = town.visitor()
    request = approved(town, visitor, Kind.ACCESS)
    package = Package.objects.get(request=request)
    sealed = packages._sealed(package)
    erase(visitor=visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    assert sealed
    packages._finish(package, sealed)
    assert not Package.objects.exists()
