"""Notices in the portal: written with the kiosk's own screen beside the text, read word by word
against the version before, approved and published by somebody else."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from difflib import SequenceMatcher
from typing import Any
from uuid import UUID

from csp.constants import SELF
from csp.decorators import csp_replace
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, override
from django.views.decorators.clickjacking import xframe_options_sameorigin

from apps.consent import notices
from apps.consent.models import Consent, Notice, NoticeText, Section
from apps.consent.notices import Missing, NoticeRefused
from apps.consent.wording import DRAWN, Registers
from apps.privacy.selectors import names_of
from apps.stores.access import actor, organizations_of
from apps.stores.admin import StoreScopedAdmin
from apps.stores.models import Role

# A Chinese sign is a word of its own.
WORDS = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+|\s+|.", re.DOTALL)
PARAGRAPHS = re.compile(r"[^\n]+\n*|\n+")
# Share of words in common from which two paragraphs are the same one, changed.
ALIKE = 0.5
# What a publication suggests for the end of older consents, within what the pack allows.
USUAL_DAYS = timedelta(days=30)
LONGEST = 20_000


class TextForm(forms.Form):
    """One language of a draft: its short lines, and one field a section."""

    locale = forms.CharField(widget=forms.HiddenInput)
    revision = forms.IntegerField(widget=forms.HiddenInput)
    lines = forms.CharField(
        label=gettext_lazy("In short"),
        required=False,
        max_length=LONGEST,
        widget=forms.Textarea(attrs={"rows": 10}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for section in Section:
            self.fields[section.value] = forms.CharField(
                label=section.label,
                required=False,
                max_length=LONGEST,
                widget=forms.Textarea(attrs={"rows": 4}),
            )

    def sections(self) -> dict[str, str]:
        return {section.value: self.cleaned_data[section.value] for section in Section}


class PublishForm(forms.Form):
    """Whether the change is material, and until when consents to former versions last then."""

    material = forms.ChoiceField(choices=[("no", "no"), ("yes", "yes")])
    former_end = forms.DateField(required=False)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("material") == "yes" and not cleaned.get("former_end"):
            self.add_error("former_end", _("Say until when consents to former versions last."))
        return cleaned


@dataclass(frozen=True, slots=True)
class Run:
    """Words that stayed (`same`), came (`new`) or went (`gone`)."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Change:
    """One section of a notice against the same one of the version before."""

    heading: str
    runs: list[Run]

    @property
    def same(self) -> bool:
        return all(run.kind == "same" for run in self.runs)


def changes(before: NoticeText | None, after: NoticeText) -> list[Change]:
    """What a reader of both versions would find, section by section in the order of the new one."""
    old, new = _layers(before), _layers(after)
    headings = [*new, *(heading for heading in old if heading not in new)]
    return [
        Change(heading, list(_runs(old.get(heading, ""), new.get(heading, ""))))
        for heading in headings
    ]


def _layers(text: NoticeText | None) -> dict[str, str]:
    if text is None:
        return {}
    parts = {part.heading: "\n\n".join(part.paragraphs) for part in text.parts}
    return {_("In short"): text.short, **parts}


def _runs(old: str, new: str) -> Iterable[Run]:
    """Paragraphs that are alike word by word, others as a whole: few words in common are noise."""
    one, other = PARAGRAPHS.findall(old), PARAGRAPHS.findall(new)
    for _tag, start, end, first, last in SequenceMatcher(None, one, other, False).get_opcodes():
        gone, come = "".join(one[start:end]), "".join(other[first:last])
        if gone != come and _alike(gone, come):
            yield from _word_by_word(WORDS.findall(gone), WORDS.findall(come))
        else:
            yield from _run(gone, come)


def _word_by_word(one: list[str], other: list[str]) -> Iterable[Run]:
    for _tag, start, end, first, last in SequenceMatcher(None, one, other, False).get_opcodes():
        yield from _run("".join(one[start:end]), "".join(other[first:last]))


def _alike(one: str, other: str) -> bool:
    words, others = (
        [word for word in WORDS.findall(text) if not word.isspace()] for text in (one, other)
    )
    return SequenceMatcher(None, words, others, False).ratio() >= ALIKE


def _run(gone: str, come: str) -> Iterable[Run]:
    if gone == come:
        yield Run("same", gone)
        return
    if gone:
        yield Run("gone", gone)
    if come:
        yield Run("new", come)


class NoticeAdmin(StoreScopedAdmin):
    store_path = "organization__stores"
    writable = True
    list_display = ("__str__", "state", "published_at", "former_end_at")
    list_select_related = ("organization",)
    change_list_template = "admin/notices.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).distinct()

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {"title": _("Notices"), **(extra_context or {})})

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("<uuid:pk>/review/", view(self.review_view), name="notice_review"),
            path("<uuid:pk>/approve/", view(self.approve_view), name="notice_approve"),
            path("<uuid:pk>/publish/", view(self.publish_view), name="notice_publish"),
            path(
                "<uuid:pk>/preview/<slug:locale>/", view(self.preview_view), name="notice_preview"
            ),
            *super().get_urls(),
        ]

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Start the next version of one of this officer's organizations."""
        own = organizations_of(request.user, Role.Kind.DPO)
        if request.method == "POST":
            organization = get_object_or_404(own, pk=_uuid(request.POST.get("organization", "")))
            notice = notices.begin(organization=organization, actor=actor(request.user))
            return HttpResponseRedirect(_address("consent_notice_change", notice))
        context = self._context(request, _("Start a new version"), organizations=own)
        return TemplateResponse(request, "admin/notice_begin.html", context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Write a draft, one language at a time; a published version is read."""
        notice = self._notice(request, _uuid(object_id))
        if notice.published_at is not None:
            return self.review_view(request, notice.pk)
        registers = Registers(notice.organization)
        locale = _locale(request, notice, registers)
        if request.method != "POST":
            return self._editor(request, notice, registers, locale, _written(notice, locale))
        form = TextForm(request.POST)
        if not form.is_valid():
            return self._editor(request, notice, registers, locale, form, status=400)
        try:
            notice = notices.write(
                notice=notice,
                locale=locale,
                lines=form.cleaned_data["lines"],
                sections=form.sections(),
                revision=form.cleaned_data["revision"],
                actor=actor(request.user),
            )
            if request.POST.get("then") == "propose":
                notices.propose(notice=notice, actor=actor(request.user))
                self.message_user(request, _("Saved, and proposed to a second person."))
                return HttpResponseRedirect(_address("notice_review", notice, locale))
        except NoticeRefused as error:
            if error.code == "incomplete":
                self.message_user(request, _("Saved."), messages.SUCCESS)
                self.message_user(request, error.text, messages.WARNING)
                return HttpResponseRedirect(_address("consent_notice_change", notice, locale))
            notice.refresh_from_db()
            # What was typed stays on the page; it is saved over the other text by a second press.
            typed = TextForm({**request.POST.dict(), "revision": notice.revision})
            return self._editor(
                request, notice, registers, locale, typed, error=error.text, status=409
            )
        self.message_user(request, _("Saved."), messages.SUCCESS)
        return HttpResponseRedirect(_address("consent_notice_change", notice, locale))

    def review_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """One language as the kiosk shows it and against the version before; whose turn it is."""
        notice = self._notice(request, pk)
        registers = Registers(notice.organization)
        locale = _locale(request, notice, registers)
        former = (
            Notice.objects.published()
            .filter(organization=notice.organization_id, version__lt=notice.version)
            .first()
        )
        before = former.texts.filter(locale=locale).first() if former else None
        with override(locale):
            found = changes(before, _shown(notice, locale, registers))
        me = actor(request.user)
        first, last = notices.renewal_days(registers)
        people = names_of([notice.proposed_by, notice.approved_by, notice.published_by])
        asked = Consent.objects.live().filter(
            text__notice__organization=notice.organization_id,
            text__notice__version__lt=notice.version,
        )
        context = self._context(
            request,
            _("Version %(version)s") % {"version": notice.version},
            notice=notice,
            locale=locale,
            locales=_locales(notice, registers, ()),
            former=former,
            changed=[change for change in found if not change.same],
            unchanged=[change for change in found if change.same],
            texts=list(notice.texts.order_by("locale")),
            writers=", ".join(names_of(notice.editors).values()),
            proposed_by=people.get(notice.proposed_by, ""),
            approved_by=people.get(notice.approved_by, ""),
            published_by=people.get(notice.published_by, ""),
            drift=_drift(notice, registers),
            missing=[] if notice.published_at else notices.missing(notice, registers),
            wrote=me in notice.editors,
            approved=notices.is_approved(notice, registers),
            asked=asked.count(),
            first=first,
            last=last,
            usual=min(max(first, _today() + USUAL_DAYS), last),
        )
        return TemplateResponse(request, "admin/notice_review.html", context)

    def approve_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Approve what the second person has read."""
        notice = self._notice(request, pk)
        revision = request.POST.get("revision", "")
        if request.method == "POST" and revision.isdecimal():
            try:
                notices.approve(notice=notice, revision=int(revision), actor=actor(request.user))
            except NoticeRefused as error:
                self.message_user(request, error.text, messages.ERROR)
            else:
                self.message_user(request, _("Approved. It can be published."), messages.SUCCESS)
        return HttpResponseRedirect(_address("notice_review", notice))

    def publish_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Publish what was approved."""
        notice = self._notice(request, pk)
        form = PublishForm(request.POST)
        if request.method != "POST":
            return HttpResponseRedirect(_address("notice_review", notice))
        if not form.is_valid():
            for errors in form.errors.values():
                self.message_user(request, " ".join(map(str, errors)), messages.ERROR)
            return HttpResponseRedirect(_address("notice_review", notice))
        end: date | None = form.cleaned_data["former_end"]
        material = form.cleaned_data["material"] == "yes"
        try:
            notices.publish(
                notice=notice,
                actor=actor(request.user),
                former_end=datetime.combine(end, time(23, 59, 59), UTC)
                if material and end
                else None,
            )
        except NoticeRefused as error:
            self.message_user(request, error.text, messages.ERROR)
        else:
            self.message_user(request, _("%s is published.") % notice, messages.SUCCESS)
        return HttpResponseRedirect(_address("notice_review", notice))

    # The one page of the portal that may stand in a frame, and only in one of our own.
    @method_decorator(xframe_options_sameorigin)
    @method_decorator(csp_replace({"frame-ancestors": [SELF]}))
    def preview_view(self, request: HttpRequest, pk: UUID, locale: str) -> HttpResponse:
        """The kiosk's screen with the text of this version, or with what is posted."""
        notice = self._notice(request, pk)
        registers = Registers(notice.organization)
        if locale not in [code for code, _name in settings.LANGUAGES]:
            raise Http404
        if request.method == "POST":
            form = TextForm(request.POST)
            if not form.is_valid():
                return HttpResponse(status=400)
            typed = NoticeText(
                notice=notice,
                locale=locale,
                lines=form.cleaned_data["lines"],
                sections=form.sections(),
            )
            text = notices.fill(typed, registers)
        else:
            text = _shown(notice, locale, registers)
        shops = [store for store in registers.stores if locale in store.languages]
        context = {"notice": text, "store": next(iter(shops or registers.stores), None)}
        with override(locale):
            return render(request, "admin/notice_preview.html", context)

    def _editor(
        self,
        request: HttpRequest,
        notice: Notice,
        registers: Registers,
        locale: str,
        form: TextForm,
        *,
        error: str = "",
        status: int = 200,
    ) -> HttpResponse:
        missing = notices.missing(notice, registers)
        here = [each for each in missing if each.locale in ("", locale)]
        fields = [
            {
                "field": form[section.value],
                "required": section in registers.required,
                "drawn": f"{{{DRAWN[section]}}}" if section in DRAWN else "",
                "missing": [each.text for each in here if each.place == section.value],
            }
            for section in Section
        ]
        context = self._context(
            request,
            _("Write version %(version)s") % {"version": notice.version},
            notice=notice,
            locale=locale,
            locales=_locales(notice, registers, missing),
            form=form,
            lines={
                "field": form["lines"],
                "missing": [each.text for each in here if each.place == "lines"],
            },
            fields=fields,
            missing=missing,
            packs=", ".join(pack.name for pack in registers.packs),
            most_lines=notices.MOST_LINES,
            says={f"{{{name}}}": text for name, text in registers.says(locale).items()},
            writers=", ".join(names_of(notice.editors).values()),
            error=error,
        )
        return TemplateResponse(request, "admin/notice_edit.html", context, status=status)

    def _context(self, request: HttpRequest, title: str, **more: Any) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            **more,
        }

    def _notice(self, request: HttpRequest, pk: UUID) -> Notice:
        own = self.get_queryset(request).select_related("organization")
        return get_object_or_404(own, pk=pk)

    @admin.display(description=gettext_lazy("state"))
    def state(self, notice: Notice) -> str:
        if notice.published_at:
            return _("published")
        if notice.approved_by:
            return _("approved, to be published")
        if notice.proposed_by:
            return _("waits for a second person")
        return _("being written")


def _drift(notice: Notice, registers: Registers) -> list[notices.Drift]:
    newest = Notice.objects.published().filter(organization=notice.organization_id).first()
    return notices.drift(notice, registers) if newest == notice else []


def _locales(
    notice: Notice, registers: Registers, missing: Iterable[Missing]
) -> list[dict[str, Any]]:
    """The languages of a version, with how much each of them lacks."""
    lacking = [each.locale for each in missing]
    written = set(notice.texts.values_list("locale", flat=True))
    offered = written if notice.published_at else written | set(registers.locales)
    return [
        {"code": code, "name": name, "missing": lacking.count(code)}
        for code, name in settings.LANGUAGES
        if code in offered
    ]


def _locale(request: HttpRequest, notice: Notice, registers: Registers) -> str:
    """The language that is asked for, or the first that there is."""
    known = [each["code"] for each in _locales(notice, registers, ())]
    asked = request.POST.get("locale") or request.GET.get("locale")
    return next((code for code in known if code == asked), known[0])


def _written(notice: Notice, locale: str) -> TextForm:
    text = notice.texts.filter(locale=locale).first() or NoticeText(locale=locale)
    return TextForm(
        initial={
            **text.sections,
            "lines": text.lines,
            "locale": locale,
            "revision": notice.revision,
        }
    )


def _shown(notice: Notice, locale: str, registers: Registers) -> NoticeText:
    """The text of a version as a kiosk shows it, or would."""
    text = notice.texts.filter(locale=locale).first() or NoticeText(notice=notice, locale=locale)
    return text if notice.published_at else notices.fill(text, registers)


def _address(name: str, notice: Notice, locale: str = "") -> str:
    address = reverse(f"admin:{name}", args=[notice.pk])
    return f"{address}?locale={locale}" if locale else address


def _uuid(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError as error:
        raise Http404 from error


def _today() -> date:
    return datetime.now(UTC).date()
