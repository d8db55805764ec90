"""Requests in the portal: the board, one request and its steps, and those typed in from a letter.

What was asked and how somebody is reached is personal: each look at a request is in the ledger.
Passphrases and links are in the one answer to the press that made them, and nowhere after it.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

from django import forms
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.privacy.board import asked_line, board
from apps.privacy.requests import clock, decide, identity, intake, packages, rows
from apps.privacy.requests.rows import RequestRefused
from apps.privacy.selectors import names_of
from apps.retention.models import Package, Request
from apps.retention.services.erase import plan
from apps.stores import deadlines, mail
from apps.stores.access import actor, stores_of
from apps.stores.admin import StoreScopedAdmin
from apps.stores.limits import allowed
from apps.stores.models import Role, Store

CLOSED_SHOWN = 50
# How long the page waits for the recognizers' word of an erasure.
PATIENCE = 2.0
WITNESS_TRIES = 10  # in ten minutes, as at the kiosk


class TakeForm(forms.Form):
    """A request that came by letter, e-mail or telephone."""

    store = forms.ModelChoiceField(Store.objects.none(), label=gettext_lazy("Store"), initial=0)
    source = forms.ChoiceField(
        label=gettext_lazy("How it came"),
        choices=[
            (each.value, each.label) for each in Request.Source if each not in Request.NOT_TYPED_IN
        ],
    )
    kind = forms.ChoiceField(label=gettext_lazy("What they ask for"), choices=Request.Kind.choices)
    received = forms.DateField(
        label=gettext_lazy("Came in on"),
        widget=forms.DateInput(attrs={"type": "date"}),
    )
    whom = forms.CharField(
        label=gettext_lazy("Whose, as far as it says"),
        required=False,
        max_length=120,
        help_text=gettext_lazy(
            "The number of their receipt, the contact on their record, or a record’s number. You "
            "can say it later."
        ),
    )
    words = forms.CharField(
        label=gettext_lazy("In their words"),
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 5}),
    )
    reach = forms.CharField(
        label=gettext_lazy("Where to answer"),
        required=False,
        max_length=240,
        help_text=gettext_lazy("E-mail or postal address, for this request alone."),
    )

    def __init__(self, stores: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        field = self.fields["store"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset, field.empty_label = stores, None

    def clean_received(self) -> date:
        day: date = self.cleaned_data["received"]
        if day > timezone.now().date():
            raise forms.ValidationError(_("It cannot have come in later than now."))
        return day


class RequestAdmin(StoreScopedAdmin):
    """The board instead of a list, one page a request, and every step a POST of its own."""

    writable = True

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("<uuid:pk>/preview/", view(self.preview_view), name="request_preview"),
            path("<uuid:pk>/progress/", view(self.progress_view), name="request_progress"),
            path("<uuid:pk>/<slug:act>/act/", view(self.act_view), name="request_act"),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """What is open, the next due first."""
        stores = stores_of(request.user, Role.Kind.DPO)
        waiting = board(stores)
        closed = self.get_queryset(request).closed().select_related("store")  # type: ignore[attr-defined]
        context = self._context(
            request,
            _("Requests"),
            numbers=waiting.numbers,
            queue=waiting.lines,
            closed=closed[:CLOSED_SHOWN],
        )
        return TemplateResponse(request, "admin/requests/board.html", context)

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Write down a request that did not come through one of our own pages."""
        stores = stores_of(request.user, Role.Kind.DPO)
        if request.method != "POST":
            known = {key: request.GET[key] for key in ("kind", "whom") if key in request.GET}
            initial = {"received": timezone.now().date(), **known}
            return self._begin(request, TakeForm(stores, initial=initial))
        form = TakeForm(stores, request.POST)
        if not form.is_valid():
            return self._begin(request, form, status=400)
        given = form.cleaned_data
        today = given["received"] == timezone.now().date()
        me = actor(request.user)
        try:
            with transaction.atomic():
                asked_for = intake.take(
                    store=given["store"],
                    kind=Request.Kind(given["kind"]),
                    source=Request.Source(given["source"]),
                    actor=me,
                    words=given["words"],
                    reach=given["reach"],
                    # Of an earlier day the first moment: the answer is never later for it.
                    received_at=None if today else datetime.combine(given["received"], time(), UTC),
                )
                if given["whom"]:
                    identity.tie(request=asked_for, whom=given["whom"], actor=me)
        except RequestRefused as refusal:
            return self._begin(request, form, error=refusal.text, status=409)
        return HttpResponseRedirect(address(asked_for))

    def _begin(
        self, request: HttpRequest, form: TakeForm, *, error: str = "", status: int = 200
    ) -> HttpResponse:
        context = self._context(request, _("Write down a request"), form=form, error=error)
        return TemplateResponse(request, "admin/requests/begin.html", context, status=status)

    @transaction.atomic
    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """One request: what was asked, how its clock stands, and what can be done next."""
        asked = self._asked(request, object_id)
        rows.record(asked, "opened", actor=actor(request.user))
        return self._page(request, asked)

    @transaction.atomic
    def preview_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """What an erasure would do, per kind of data, before a first and a second person agree."""
        asked = self._asked(request, str(pk))
        visitor = rows.visitor_of(asked)
        if visitor is None or asked.kind not in Request.ENDS or not asked.verified:
            return HttpResponseRedirect(address(asked))
        rows.record(asked, "previewed", actor=actor(request.user))
        context = self._context(
            request,
            _("What erasing would do"),
            asked=asked,
            address=address(asked),
            plan=plan(visitor),
            blocked=decide.may_approve(asked, actor(request.user)),
            proposed_by=names_of([asked.proposed_by]).get(asked.proposed_by, ""),
        )
        return TemplateResponse(request, "admin/requests/preview.html", context)

    def progress_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """The part of the page that changes while a package is made; nothing of the person."""
        context = self._state(request, self._asked(request, str(pk)))
        return TemplateResponse(request, "admin/requests/_finish.html", context)

    def act_view(self, request: HttpRequest, pk: UUID, act: str) -> HttpResponse:
        """Take one step. What it shows once stands in this answer alone."""
        asked = self._asked(request, str(pk))
        step = STEPS.get(act)
        if step is None:
            raise Http404
        if request.method != "POST":
            return HttpResponseRedirect(address(asked))
        try:
            once = step(asked, request.POST.dict(), actor(request.user))
        except RequestRefused as refusal:
            # The answer shows the request, as opening it does.
            with transaction.atomic():
                rows.record(asked, "opened", actor=actor(request.user))
            asked.refresh_from_db()
            typed = {key: value for key, value in request.POST.items() if key in KEPT}
            return self._page(
                request, asked, error=refusal.text, failed=act, typed=typed, status=409
            )
        if once:
            return self._page(request, self._asked(request, str(pk)), **once)
        return HttpResponseRedirect(address(asked))

    def _page(
        self, request: HttpRequest, asked: Request, *, status: int = 200, **more: Any
    ) -> HttpResponse:
        context = self._context(
            request, capfirst(str(asked)), **self._state(request, asked), **more
        )
        return TemplateResponse(request, "admin/requests/request.html", context, status=status)

    def _state(self, request: HttpRequest, asked: Request) -> dict[str, Any]:
        """How a request stands, and what this officer can do with it."""
        visitor = rows.visitor_of(asked)
        people = [asked.opened_by, asked.verified_by, asked.proposed_by, asked.approved_by]
        names = names_of([*people, asked.closed_by, asked.extended_by])
        decided = asked.state != Request.State.VERIFIED
        return {
            "asked": asked,
            "visitor": visitor,
            "steps": _timeline(asked, names),
            "line": asked_line(asked) if asked.is_open else None,
            "package": Package.objects.filter(request=asked).defer("sealed", "wrapped").first(),
            "package_steps": Package.STEPS,
            "blocked": "" if decided else decide.may_approve(asked, actor(request.user)),
            "contact": visitor is not None and "@" in visitor.contact,
            "told": _told(asked),
            "refusals": Request.Refusal.choices,
            "extension": _extension(asked),
            "liftable": bool(
                visitor
                and visitor.restricted_at
                and asked.restricts
                and asked.approved_at
                and not asked.lifted_at
            ),
        }

    def _context(self, request: HttpRequest, title: str, **more: Any) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            **more,
        }

    def _asked(self, request: HttpRequest, pk: str) -> Request:
        try:
            key = UUID(pk)
        except ValueError as error:
            raise Http404 from error
        own = self.get_queryset(request).select_related("store__organization", "erasure")
        found: Request = get_object_or_404(own, pk=key)
        return found


def address(asked: Request) -> str:
    return reverse("admin:retention_request_change", args=[asked.pk])


def _in_words(name: str) -> str:
    return {
        "self": _("the person"),
        "contact": _("the person, at the contact on record"),
        "receipt": _("the person, by their receipt"),
        rows.SYSTEM: _("the house"),
    }.get(name, name)


def _timeline(asked: Request, names: dict[str, str]) -> list[dict[str, Any]]:
    """What happened when, and who did it."""
    told = {"how": asked.get_told_display()}
    steps = [
        (asked.received_at, _("Came in"), asked.opened_by),
        (
            asked.verified_at,
            _("Identity: %(how)s") % {"how": asked.get_verified_how_display()},
            asked.verified_by,
        ),
        (asked.extended_at, _("Extended; the person was told"), asked.extended_by),
        (asked.proposed_at, _("Proposed to a second person"), asked.proposed_by),
        (asked.approved_at, _("Approved"), asked.approved_by),
        (asked.closed_at, _("Told %(how)s") % told, asked.closed_by),
        (asked.lifted_at, _("Recognised again"), ""),
    ]
    return [
        {"at": at, "what": what, "who": _in_words(names.get(who, who))}
        for at, what, who in steps
        if at is not None
    ]


def _mail(asked: Request) -> bool:
    return "@" in asked.reach and not mail.missing(asked.store.organization)


def _told(asked: Request) -> list[tuple[str, str]]:
    """The ways in which this person can be told."""
    possible = {
        Request.Told.RECEIPT: asked.source == Request.Source.RECEIPT,
        Request.Told.MAIL: _mail(asked),
    }
    return [(each.value, str(each.label)) for each in Request.Told if possible.get(each, True)]


def _extension(asked: Request) -> datetime | None:
    """Until when it could be extended now; None when it cannot."""
    if not asked.is_open or asked.extended_at or timezone.now() >= asked.first_due_at:
        return None
    try:
        return deadlines.extended(asked.first_due_at, asked.store.pack.clock)
    except ValueError:
        return None


# The steps. Each takes the request, what was posted, and who did it; it returns what to show once.

Once = dict[str, Any]
Step = Callable[[Request, dict[str, str], str], Once]
# What was typed and is not lost when a step is refused. No code is among it.
KEPT = {"answer", "reason", "name", "say_as", "asks_for", "whom", "text"}


def _tie(asked: Request, given: dict[str, str], me: str) -> Once:
    identity.tie(request=asked, whom=given.get("whom", ""), actor=me)
    return {}


def _await(asked: Request, given: dict[str, str], me: str) -> Once:
    identity.await_proof(request=asked, actor=me)
    return {}


def _send(asked: Request, given: dict[str, str], me: str) -> Once:
    identity.send_code(request=asked, actor=me)
    return {"done": _("The code was sent. They tell it to you; it works once.")}


def _code(asked: Request, given: dict[str, str], me: str) -> Once:
    identity.check_code(request=asked, code=given.get("code", ""), actor=me)
    return {}


def _witness(asked: Request, given: dict[str, str], me: str) -> Once:
    # Six digits of a colleague are not to be guessed by whoever decides.
    if not allowed(f"witness:{me}", limit=WITNESS_TRIES, seconds=600):
        raise RequestRefused("often", _("Too many attempts. Please wait ten minutes."))
    identity.check_witness(request=asked, code=given.get("code", ""), actor=me)
    return {}


def _receipt(asked: Request, given: dict[str, str], me: str) -> Once:
    identity.check_receipt(request=asked, secret=given.get("code", ""), actor=me)
    return {}


def _extend(asked: Request, given: dict[str, str], me: str) -> Once:
    clock.extend(
        request=asked, reason=given.get("reason", ""), told=_way(given.get("told")), actor=me
    )
    return {"done": _("Extended. It is written down that the person was told.")}


def _propose(asked: Request, given: dict[str, str], me: str) -> Once:
    decide.propose(request=asked, actor=me)
    return {"done": _("Proposed. A second officer finds it on the board.")}


def _approve(asked: Request, given: dict[str, str], me: str) -> Once:
    _request, passphrase = decide.approve(
        request=asked,
        actor=me,
        answer=given.get("answer", ""),
        name=given.get("name", ""),
        say_as=given.get("say_as", ""),
        asks_for=given.get("asks_for", ""),
        patience=PATIENCE,
    )
    return {"passphrase": passphrase} if passphrase else {}


def _retry(asked: Request, given: dict[str, str], me: str) -> Once:
    if asked.kind in Request.ENDS:
        decide.carry_out(asked.pk, patience=PATIENCE)
        return {}
    passphrase = packages.again(request=asked, actor=me)
    return {"passphrase": passphrase} if passphrase else {}


def _anew(asked: Request, given: dict[str, str], me: str) -> Once:
    return {"passphrase": packages.again(request=asked, actor=me, anew=True)}


def _link(asked: Request, given: dict[str, str], me: str) -> Once:
    return {"link": packages.link(request=asked, actor=me)}


def _answer(asked: Request, given: dict[str, str], me: str) -> Once:
    decide.answer(request=asked, told=_way(given.get("told")), text=given.get("text", ""), actor=me)
    return {}


def _refuse(asked: Request, given: dict[str, str], me: str) -> Once:
    try:
        reason = Request.Refusal(given.get("refusal", ""))
    except ValueError:
        raise RequestRefused("reason", _("Choose the reason.")) from None
    decide.refuse(
        request=asked,
        reason=reason,
        told=_way(given.get("told")),
        text=given.get("text", ""),
        actor=me,
    )
    return {}


def _lift(asked: Request, given: dict[str, str], me: str) -> Once:
    decide.lift(request=asked, actor=me)
    return {}


def _way(value: str | None) -> Request.Told:
    try:
        return Request.Told(value or "")
    except ValueError:
        raise RequestRefused("told", _("Say how the person is told.")) from None


STEPS: dict[str, Step] = {
    "tie": _tie,
    "await": _await,
    "send": _send,
    "code": _code,
    "witness": _witness,
    "receipt": _receipt,
    "extend": _extend,
    "propose": _propose,
    "approve": _approve,
    "retry": _retry,
    "anew": _anew,
    "link": _link,
    "answer": _answer,
    "refuse": _refuse,
    "lift": _lift,
}
