"""A document of the house: the same words on a page of the portal, as a PDF, or as rows (CSV)."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib import admin
from django.contrib.messages import ERROR, add_message
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from apps.privacy import paper


def page(
    request: HttpRequest, body: str, title: str, status: int = 200, **context: Any
) -> HttpResponse:
    """The page of the document `documents/{body}.html`; `files` are (address, words) to download,
    `acts` a template with what can be done."""
    every = admin.site.each_context(request)
    words = {**every, "title": title, "body": f"documents/{body}.html", **context}
    return TemplateResponse(request, "admin/document.html", words, status=status)


def pdf(request: HttpRequest, body: str, title: str, **context: Any) -> HttpResponse:
    """The document as a PDF, in the language that is active; back to where one came from, with a
    sentence, when this machine cannot make any."""
    words = {"title": title, "body": f"documents/{body}.html", **context}
    try:
        made = paper.printed(render_to_string("documents/paper.html", words), "document.css")
    except paper.PaperUnavailable:
        error = _(
            "This machine cannot make a PDF yet: it lacks Debian’s packages %(packages)s. Until "
            "then you can print the page."
        ) % {"packages": paper.DEBIAN}
        add_message(request, ERROR, error)
        return HttpResponseRedirect("../")
    return attached(made, f"{body}.pdf", "application/pdf")


def rows(name: str, header: Sequence[str], lines: Iterable[Sequence[object]]) -> HttpResponse:
    """Rows as CSV (RFC 4180) in UTF-8 with a byte order mark, by which spreadsheets know it.

    What a spreadsheet would take for a formula is quoted (OWASP, CSV injection).
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows([_plain(cell) for cell in line] for line in lines)
    return attached(text.getvalue().encode("utf-8-sig"), f"{name}.csv", "text/csv; charset=utf-8")


def attached(content: bytes, name: str, kind: str) -> HttpResponse:
    return HttpResponse(
        content,
        content_type=kind,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _plain(cell: object) -> str:
    text = str(cell)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
