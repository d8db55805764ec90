"""A note by staff: written on the floor, read and deleted by the guest, gone with the purpose."""

import html
from collections.abc import Callable

import pytest
from django.db import DatabaseError, transaction
from django.test import Client

from apps.audit.models import Entry
from apps.consent import services as consents
from apps.consent.models import Consent, Purpose
from apps.privacy import export
from apps.privacy.paper import receipt_html
from apps.retention.holdings import HOLDINGS
from apps.retention.models import Erasure
from apps.retention.services.erase import erase
from apps.retention.services.sweep import sweep
from apps.retention.services.withdraw import withdraw_purpose
from apps.visitors.models import Note, Visitor
from apps.visits import notes
from apps.visits.models import Visit
from apps.visits.services import disclose
from tests.clients import browser
from tests.conftest import House
from tests.database import run, without_triggers
from tests.visits.test_board import BOARD, Open, address, colleague, old_town, open_stream
from tests.visits.test_disclose import match_of, visit_of

__all__ = ["address", "old_town", "open_stream"]  # fixtures of this module too

TEXT = "Likes the <window> seat"
SHOWN = "Likes the &lt;window&gt; seat"
AGREED = [Purpose.LANE, Purpose.NOTES]


@pytest.fixture
def visit(house: House) -> Visit:
    """A guest is here who lets staff keep a note."""
    return visit_of(disclose(match_of(house.visitor(purposes=AGREED), house)))


@pytest.fixture
def linda(house: House) -> Client:
    return browser(house.staff)


def writes(client: Client, visit: Visit, text: str, **headers: str) -> tuple[int, str]:
    answer = client.post(f"{BOARD}visits/{visit.pk}/note/", {"note": text}, headers=headers)
    return answer.status_code, answer.content.decode()


def test_staff_write_one_the_guest_reads_it_everywhere_and_deletes_it(
    house: House, linda: Client
) -> None:
    visitor = house.visitor(purposes=AGREED)
    signed = consents.reissue(Consent.objects.get(subject=visitor.subject))
    visit = visit_of(disclose(match_of(visitor, house)))
    assert "they see it on their receipt" in linda.get(BOARD).content.decode()

    assert writes(linda, visit, f"  {TEXT}\n")[0] == 302
    writes(linda, visit, f" {TEXT} ")
    assert Note.objects.get().text == TEXT
    assert SHOWN in linda.get(BOARD).content.decode()

    guest, code = browser(), {"secret": signed.secret}
    letter = guest.post("/receipt/", code).content.decode()
    assert letter.count(SHOWN) == 2, "what was noted, and what is held"
    assert "Someone who works here: wrote a note about you" in letter
    assert SHOWN in receipt_html(signed.receipt, signed.secret)
    held = export.everything(visitor)
    assert held.note is not None
    assert held.note.text == TEXT
    officer, record = browser(house.dpo), f"/admin/visitors/visitor/{visitor.pk}/change/"
    officer.post(record, {"reason": "request"})
    assert SHOWN in officer.get(record).content.decode()
    assert TEXT not in str(list(Entry.objects.values_list("detail", flat=True)))

    assert "is deleted" in guest.post("/receipt/note/", code).content.decode()
    assert not Note.objects.exists()
    assert "window" not in linda.get(BOARD).content.decode()
    assert Entry.objects.filter(action="note.deleted").get().actor == "self"
    writes(linda, visit, "Something else")
    assert Note.objects.exists(), "it is agreed to until it is withdrawn"


def test_what_is_too_long_is_told_and_loses_nothing(linda: Client, visit: Visit) -> None:
    writes(linda, visit, TEXT)
    for headers, status in (({}, 200), ({"Consentry-Partial": "1"}, 422)):
        answered, page = writes(linda, visit, "n" * 201, **headers)
        assert answered == status
        assert "n" * 201 in page
        assert 'data-testid="note-problem"' in page
    assert writes(linda, visit, "\x07")[0] == 200
    assert Note.objects.get().text == TEXT
    writes(linda, visit, "  ")
    assert not Note.objects.exists()


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("Wheelchair: the side door", "health"),
        ("Végétarien, très DÉPRESSIF", "health"),
        ("她对花生过敏", "health"),
        ("يحضر بالكرسي، مريض", "health"),
        ("Is Jewish, voted left-wing", "religion or belief, politics or a trade union"),
    ],
)
def test_what_the_law_protects_most_is_asked_again_before_it_is_kept(
    linda: Client, visit: Visit, text: str, about: str
) -> None:
    for headers, status in (({}, 200), ({"Consentry-Partial": "1"}, 422)):
        answered, page = writes(linda, visit, text, **headers)
        assert answered == status
        assert f"something about {about}," in page
        assert text in html.unescape(page), "it is not lost"
    assert not Note.objects.exists()
    linda.post(f"{BOARD}visits/{visit.pk}/note/", {"note": text, "sure": "yes"})
    assert Note.objects.get().text == text
    assert Entry.objects.get(action="note.written").detail == {}


def test_an_everyday_note_is_kept_at_once(linda: Client, visit: Visit) -> None:
    for text in ("Test-drove the G9, prefers tea", "喜欢靠窗的座位", "يفضل الشاي في المدينة"):
        assert writes(linda, visit, text)[0] == 302
        assert Note.objects.get().text == text


def test_nobody_writes_about_whom_it_was_not_agreed_or_who_is_not_theirs(
    house: House, linda: Client, old_town: object, visit: Visit
) -> None:
    other = visit_of(disclose(match_of(house.visitor(purposes=[Purpose.LANE]), house)))
    assert writes(linda, other, TEXT)[0] == 404
    page = linda.get(BOARD).content.decode()
    assert page.count('data-testid="note-open"') == 1
    mei = browser(colleague(house, "Mei", old_town))  # type: ignore[arg-type]
    assert writes(mei, visit, TEXT)[0] == 404
    assert mei.post(f"/floor/old-town/visits/{visit.pk}/note/", {"note": TEXT}).status_code == 404
    assert browser().post(f"{BOARD}visits/{visit.pk}/note/", {"note": TEXT}).status_code == 302
    assert not Note.objects.exists()
    for visitor in (other.visitor, visit.visitor):
        consents.withdraw(consent=Consent.objects.get(subject=visitor.subject), actor="self")
        with pytest.raises(DatabaseError, match="consent to notes"), transaction.atomic():
            Note.objects.create(visitor=visitor, text=TEXT, written_at=visit.arrived_at)


def taken_back(visit: Visit) -> None:
    withdraw_purpose(visitor=visit.visitor, purpose=Purpose.NOTES, actor="self")
    assert Visitor.objects.exists()
    assert Entry.objects.filter(action="note.deleted").count() == 1
    (line,) = Erasure.objects.get().scope
    assert (line["what"], line["count"]) == ("note by staff", 1)


def narrowed_in_sql(visit: Visit) -> None:
    run("UPDATE consent_consent SET purposes = '{lane}'")


def erased(visit: Visit) -> None:
    erase(visitor=visit.visitor, cause=Erasure.Cause.WITHDRAWAL, actor="self")
    assert {"what": "note by staff", "count": 1, "how": "erased"} in Erasure.objects.get().scope


def swept(visit: Visit) -> None:
    with without_triggers("consent_consent"):
        run("UPDATE consent_consent SET purposes = '{lane}'")
    (line,) = (line for line in HOLDINGS if line.model is Note)
    assert line.overdue().count() == 1
    assert sweep().notes == 1


@pytest.mark.parametrize("end", [taken_back, narrowed_in_sql, erased, swept])
def test_it_goes_with_what_it_rests_on(
    linda: Client, visit: Visit, end: Callable[[Visit], None]
) -> None:
    writes(linda, visit, TEXT)
    end(visit)
    assert not Note.objects.exists()


def test_every_open_board_has_it_and_loses_it_at_once(house: House, open_stream: Open) -> None:
    visit = visit_of(disclose(match_of(house.visitor(purposes=AGREED), house)))
    stream = open_stream()
    assert SHOWN not in stream.next("visit").data
    notes.write(visit=visit, text=TEXT, actor=f"user:{house.staff.pk}")
    assert SHOWN in stream.next("visit").data
    notes.delete(visitor=visit.visitor, actor="self")
    assert SHOWN not in stream.next("visit").data
