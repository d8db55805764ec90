"""PDFs: the receipt, with the whole notice, the answers, the signature and the code; everything
held on a person, as the answer to a request for it; and pages of the portal.

Made on demand of what the database holds, the receipt in the language that was signed, and never
stored. They are tagged for screen readers (PDF/UA-1). WeasyPrint needs Pango, which is no Python
package; a machine without it says so when it is asked, and everything else works.
"""

import contextlib
import io
import threading
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from PIL import ImageFile
from pypdf import PdfWriter

from apps.consent.models import Consent, Purpose, Receipt
from apps.consent.qr import drawn
from apps.consent.signature import said
from apps.privacy import selectors
from apps.privacy.export import Export
from apps.retention.models import Request

DEBIAN = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-noto-core fonts-noto-cjk"
STYLES = settings.BASE_DIR / "static" / "css"

# Pango shares what it knows of fonts among threads; one page at a time is enough.
_one_at_a_time = threading.Lock()


class PaperUnavailable(RuntimeError):
    """This machine cannot make PDFs: Pango is not installed."""


def receipt_pdf(receipt: Receipt, secret: str) -> bytes:
    """Return the receipt as a PDF/UA-1 file. Raises PaperUnavailable.

    The code in it opens the receipt: whoever has the paper can end it, as with the kiosk's own.
    """
    return printed(receipt_html(receipt, secret), "paper.css")


def package_pdf(everything: Export, locale: str) -> bytes:
    """Return everything held on a person, to be read, as a PDF/UA-1 file. Raises
    PaperUnavailable."""
    with translation.override(locale):
        html = render_to_string(
            "package/paper.html",
            {
                "all": everything,
                "held": [
                    {**line.model_dump(), "what": _(line.what), "when_erased": _(line.when_erased)}
                    for line in everything.held
                ],
                "consents": [
                    {"of": each, "purposes": [Purpose(one).label for one in each.purposes]}
                    for each in everything.consents
                ],
                "requests": [
                    {
                        "of": each,
                        "kind": Request.Kind(each.kind).label,
                        "state": Request.State(each.state).label,
                    }
                    for each in everything.requests
                ],
            },
        )
    return printed(html, "paper.css")


def encrypted(pdf: bytes, attached: Mapping[str, bytes], passphrase: str) -> bytes:
    """Return a PDF with files attached in it, encrypted with AES-256 (ISO 32000-2, 7.6)."""
    writer = PdfWriter(clone_from=io.BytesIO(pdf))
    writer.pdf_header = "%PDF-2.0"
    for name, content in attached.items():
        writer.add_attachment(name, content)
    writer.encrypt(passphrase, algorithm="AES-256")
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def printed(html: str, *styles: str) -> bytes:
    """Return a page as a PDF/UA-1 file, in these stylesheets of ours. Raises PaperUnavailable."""
    engine = _engine()
    with _one_at_a_time:
        page = engine.HTML(string=html, url_fetcher=_fetch_nothing)
        sheets = [
            engine.CSS(
                string=(STYLES / name).read_text(encoding="utf-8"), url_fetcher=_fetch_nothing
            )
            for name in styles
        ]
        pdf = page.write_pdf(stylesheets=sheets, pdf_variant="pdf/ua-1")
    return bytes(pdf)


def receipt_html(receipt: Receipt, secret: str) -> str:
    """The page that becomes the PDF, in the language of the notice that was signed."""
    consent = receipt.consent
    address = f"{settings.CONSENTRY.public_url}{reverse('receipt:open')}"
    with translation.override(consent.locale):
        return render_to_string(
            "receipt/paper.html",
            {
                "receipt": receipt,
                "consent": consent,
                "organization": consent.store.organization,
                "notice": consent.text,
                "answers": selectors.answers(consent),
                "note": getattr(selectors.visitor_of(consent), "note", None),
                "where": selectors.where(consent),
                "strokes": _strokes(consent),
                "typed": consent.signature["name"] if _typed(consent) else "",
                "signed": said(consent),
                "code": secret,
                "address": address,
                # Our own drawing of a code of letters, digits and dashes.
                "qr": mark_safe(drawn(f"{address}#{secret}", error="m")),  # noqa: S308
            },
        )


def _typed(consent: Consent) -> bool:
    return consent.signature_method == Consent.SignatureMethod.TYPED


def _strokes(consent: Consent) -> list[str]:
    """The strokes of a drawn signature as SVG points on a pad of 500 by 200 units."""
    if consent.signature_method != Consent.SignatureMethod.DRAWN:
        return []
    return [
        " ".join(f"{x * 500:.1f},{y * 200:.1f}" for x, y in stroke) for stroke in consent.signature
    ]


def _engine() -> Any:
    """Import WeasyPrint, a second or so, and only where a PDF is wanted."""
    try:
        # It prints advice of its own when a library is missing; ours says what to do here.
        with contextlib.redirect_stdout(io.StringIO()):
            import weasyprint
    except OSError:
        raise PaperUnavailable from None
    # It lets half a picture pass in the whole process; what a tablet sends must be whole.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    return weasyprint


def _fetch_nothing(url: str, *_arguments: Any, **_options: Any) -> Any:
    """Everything is in the page: no file and no address is opened to make it."""
    raise ValueError("paper fetches nothing")
