"""The receipt on paper, read back by readers of PDFs and of square codes."""

import io
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from django.conf import settings
from django.http import HttpResponse
from django.utils import translation
from django.utils.formats import date_format
from numpy.typing import NDArray
from PIL import ImageFile
from pypdf import PdfReader
from pypdf.generic import ContentStream

from apps.audit.models import Entry
from apps.consent import services as consents
from apps.consent.models import Consent, NoticeText
from ops.story import Browser
from tests import qr
from tests.clients import browser
from tests.conftest import SIGNATURE, House, Process
from tests.privacy.conftest import Customer

# By which a reader says, in what it copies, in which direction a run of words goes.
MARKS = re.compile("[\u202a-\u202e\u2066-\u2069]")
# As Debian's libraries are called.
LIBRARIES = ("libpango-1.0.so.0", "libpangoft2-1.0.so.0")


def paper_of(customer: Customer) -> bytes:
    answer: HttpResponse = customer.post("paper/")
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"] == "application/pdf"
    assert answer["Content-Disposition"] == 'attachment; filename="receipt.pdf"'
    return answer.content


def text_of(paper: bytes) -> str:
    """All its words, one space apart, as a reader copies them."""
    done = subprocess.run(["pdftotext", "-", "-"], input=paper, capture_output=True, check=True)
    return " ".join(MARKS.sub("", done.stdout.decode()).split())


def left_of(paper: bytes, word: str) -> float:
    """Where a word first begins, in points from the left of an A4 page's 595."""
    done = subprocess.run(
        ["pdftotext", "-bbox", "-", "-"], input=paper, capture_output=True, check=True
    )
    found = re.search(rf'xMin="([\d.]+)"[^>]*>{word}</word>', done.stdout.decode())
    assert found is not None
    return float(found[1])


def drawn(paper: bytes, page: int = 1) -> NDArray[np.uint8]:
    """A page as a printer draws it: grey, 150 dots an inch."""
    command = ["pdftoppm", "-png", "-gray", "-r", "150", "-f", str(page), "-l", str(page)]
    done = subprocess.run(command, input=paper, capture_output=True, check=True)
    shot = cv2.imdecode(np.frombuffer(done.stdout, np.uint8), cv2.IMREAD_GRAYSCALE)
    return np.asarray(shot, dtype=np.uint8)


def test_it_says_all_that_was_read_and_agreed_to(house: House, customer: Customer) -> None:
    text = text_of(paper_of(customer))
    consent = Consent.objects.get()
    for paragraph in [*house.text.short_lines, *house.text.full.splitlines()]:
        assert " ".join(paragraph.removeprefix("# ").split()) in text
    for words in (
        "Harbour Motors",
        "privacy@harbour.example",
        "Recognise me when I come back",
        "Remember my visits",
        date_format(consent.signed_at, "DATE_FORMAT"),
        date_format(consent.expires_at, "DATE_FORMAT"),
        "Drawn by finger",
        str(consent.receipt.pk),
        consent.digest,
        customer.secret,
    ):
        assert words in text, words
    assert "Ms Chen" not in text, "it can be shown to whoever has to see it"


def test_what_was_taken_back_is_told(customer: Customer) -> None:
    assert "Yes until" not in text_of(paper_of(customer))
    customer.post("stop/", purpose="contact")
    assert "Yes until" in text_of(paper_of(customer))
    customer.post("withdraw/")
    assert "You ended it on" in text_of(paper_of(customer))


def test_the_signature_is_drawn_point_by_point(customer: Customer) -> None:
    reader = PdfReader(io.BytesIO(paper_of(customer)))
    runs = [0]
    for page in reader.pages:
        for _operands, operator in ContentStream(page.get_contents(), reader).operations:
            runs = [*runs, 0] if operator == b"m" else runs
            runs[-1] += operator == b"l"
    # No other drawing here has lines of so many points: the code is one of rectangles.
    assert max(runs) == len(SIGNATURE[0]) - 1


def test_the_square_code_opens_the_receipt(customer: Customer) -> None:
    address, _hash, code = qr.text_in(drawn(paper_of(customer))).partition("#")
    assert address == f"{settings.CONSENTRY.public_url}/receipt/"
    assert "Ms Chen" in Customer(customer.visitor, code, browser()).text()


# Of each language, the letters that a PDF must bring along: not boxes, nor what a browser has.
FONTS = {"zh-hans": b"CJK", "fr": b"Noto-Sans", "ar": b"Noto-Sans-Arabic"}


@pytest.mark.parametrize("language", FONTS)
def test_it_is_in_the_language_that_was_signed_whatever_the_reader_speaks(
    house: House, language: str
) -> None:
    text = NoticeText.objects.get(notice=house.text.notice, locale=language)
    draft = house.draft(locale=language, notice=str(text.pk), digest=text.digest)
    signed = consents.sign(draft)
    paper = browser().post("/receipt/paper/", {"secret": signed.secret}).content
    said = text_of(paper)
    assert MARKS.sub("", text.full.splitlines()[-1]) in said
    assert "What you agreed to" not in said
    with translation.override(language):
        date = date_format(signed.consent.signed_at, "DATE_FORMAT")
    # A reader that copies words from the right may put a number before or after its month.
    assert all(word in said for word in date.split())
    fonts = subprocess.run(["pdffonts", "-"], input=paper, capture_output=True, check=True).stdout
    assert FONTS[language] in fonts
    root: Any = PdfReader(io.BytesIO(paper)).trailer["/Root"]
    assert root["/Lang"] == language
    # The house's name begins the page: at the left, or in Arabic at the right.
    assert (left_of(paper, "Harbour") > 300) == (language == "ar")


def test_arabic_is_written_from_the_right(house: House, customer: Customer) -> None:
    house.organization.name = "معرض الميناء"
    house.organization.save()
    assert "معرض الميناء" in text_of(paper_of(customer))


def test_it_is_tagged_for_screen_readers(customer: Customer) -> None:
    paper = PdfReader(io.BytesIO(paper_of(customer)))
    root: Any = paper.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en"
    assert paper.metadata is not None
    assert str(paper.metadata.title).startswith("Receipt ")
    assert b"pdfuaid:part" in root["/Metadata"].get_data()


def test_it_is_made_for_the_asking_and_kept_nowhere(customer: Customer, tmp_path: Path) -> None:
    before = Entry.objects.count()
    first = paper_of(customer)
    assert Entry.objects.count() == before + 1
    assert customer.secret not in str(Consent.objects.get().receipt.document)
    customer.post("stop/", purpose="contact")
    assert text_of(first) != text_of(paper_of(customer)), "of what holds now"


@pytest.fixture
def origin_without_pango(transactional_db: None, tmp_path: Path) -> object:
    """A web process on a machine whose Pango cannot be loaded; everything else is as ever."""
    for library in LIBRARIES:
        (tmp_path / library).write_bytes(b"")
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(8)
        origin = f"http://127.0.0.1:{door.getsockname()[1]}"
        process = Process.web(door, origin, LD_LIBRARY_PATH=str(tmp_path))
        yield origin
        process.stop()


def test_without_pango_the_letter_says_what_to_install(
    origin_without_pango: str, customer: Customer
) -> None:
    reader = Browser(origin_without_pango)
    reader.request("/receipt/")
    answer = reader.form("/receipt/paper/", secret=customer.secret)
    assert answer.status == 503
    page = answer.body.decode()
    assert "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0" in page
    assert 'data-testid="receipt-letter"' in page
    assert reader.form("/receipt/download/", secret=customer.secret).status == 200


def test_a_typed_name_and_a_guardian_are_on_it(house: House) -> None:
    guardian = {"name": "Chen Hua", "signature": SIGNATURE}
    typed = house.draft(
        signature={"name": "Chen Mei"},
        age_confirmed=False,
        guardian=guardian,
        witness=house.staff,
    )
    secret = consents.sign(typed).secret
    text = text_of(browser().post("/receipt/paper/", {"secret": secret}).content)
    for words in ("Chen Mei", "With your typed name", "Co-signed by Chen Hua"):
        assert words in text, words
    assert "Linda" not in text, "staff by their role"


def test_making_it_lets_no_half_picture_through_elsewhere(customer: Customer) -> None:
    """WeasyPrint tells Pillow, for the whole process, to take what ends early."""
    paper_of(customer)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
