"""The register of breaches in the portal: clock, decisions, notices, and whom each touched.

The list of people opens for a reason, page by page, and each look at each of them is in the ledger;
it cannot be downloaded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.core.validators import MaxLengthValidator
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, override

from apps.audit import services as audit
from apps.privacy import documents
from apps.retention.services import breaches
from apps.retention.services.breaches import BreachRefused
from apps.stores import mail
from apps.stores.access import actor, organizations_of, stores_of
from apps.stores.models import Breach, Organization, Role, Store
from apps.stores.words import WordsField

View = Callable[..., HttpResponse]

LONGEST = 8000
PAGE = 25
# A reason holds for one piece of work, as with a person's record.
REASON_SECONDS = 15 * 60
REASONS = {
    "breach": gettext_lazy("The people are to be told of a breach"),
    "inspection": gettext_lazy("An inspection"),
}
WHEN = "%Y-%m-%dT%H:%M"


class Moment(forms.DateTimeField):
    """A day and a time as a browser asks for it."""

    def __init__(self, **options: Any) -> None:
        widget = forms.DateTimeInput({"type": "datetime-local"}, format=WHEN)
        super().__init__(input_formats=[WHEN, "%Y-%m-%dT%H:%M:%S"], widget=widget, **options)


class BreachForm(forms.ModelForm):
    """What is known of a breach; who has learned more writes it again."""

    kinds = forms.MultipleChoiceField(
        label=gettext_lazy("What it is about"),
        choices=Breach.Kind.choices,
        widget=forms.CheckboxSelectMultiple,
    )
    stores = forms.ModelMultipleChoiceField(
        label=gettext_lazy("In these stores"),
        help_text=gettext_lazy("None ticked: in all stores of the organization."),
        queryset=Store.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    discovered_at = Moment(label=gettext_lazy("When we learned of it"))
    happened_at = Moment(label=gettext_lazy("Since when"), required=False)
    words = WordsField(
        max_length=1000,
        label=gettext_lazy("What to tell people"),
        help_text=Breach._meta.get_field("words").help_text,
    )

    class Meta:
        model = Breach
        fields = breaches.WRITTEN
        labels = {  # noqa: RUF012
            "organization": gettext_lazy("Organization"),
            "span": gettext_lazy("Whom it touched"),
            "span_from": gettext_lazy("from"),
            "span_until": gettext_lazy("until"),
        }
        widgets = {  # noqa: RUF012
            **{
                name: forms.Textarea({"rows": 4, "dir": "auto", "maxlength": LONGEST})
                for name in ("what", "consequences", "measures")
            },
            "span_from": forms.DateInput({"type": "date"}),
            "span_until": forms.DateInput({"type": "date"}),
        }

    def __init__(self, *args: Any, own: QuerySet[Organization], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["organization"].queryset = own  # type: ignore[attr-defined]
        self.fields["stores"].queryset = Store.objects.filter(organization__in=own)  # type: ignore[attr-defined]
        for name in ("what", "consequences", "measures"):
            self.fields[name].validators.append(MaxLengthValidator(LONGEST))

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        house = given.get("organization")
        stores = list(given.get("stores") or ())
        if any(store.organization_id != getattr(house, "pk", None) for store in stores):
            self.add_error("stores", _("These stores are of another organization."))
        # The register keeps ids: who is in them is found when it is asked.
        given["stores"] = [store.pk for store in stores]
        discovered, happened = given.get("discovered_at"), given.get("happened_at")
        if discovered and discovered > timezone.now():
            self.add_error("discovered_at", _("This is still to come."))
        if discovered and happened and happened > discovered:
            self.add_error("happened_at", _("We cannot have learned of it before."))
        first, last = given.get("span_from"), given.get("span_until")
        if first and last and last < first:
            self.add_error("span_until", _("This is before the first day."))
        return given


@dataclass(frozen=True, slots=True)
class Running:
    """An open breach and its clock. `late`: the authority should know and does not."""

    breach: Breach
    due_at: datetime

    @property
    def late(self) -> bool:
        return self.breach.waits and self.due_at <= timezone.now()

    @property
    def at_once(self) -> bool:
        return self.due_at == self.breach.discovered_at


def running(organizations: QuerySet[Organization]) -> list[Running]:
    """Breaches that are not closed, most urgent first."""
    rows = Breach.objects.filter(organization__in=organizations, closed_at=None)
    found = [Running(breach, breach.due_at) for breach in rows.select_related("organization")]
    return sorted(found, key=lambda each: (not each.breach.waits, each.due_at))


def urls(view: Callable[[View], View]) -> list[URLPattern]:
    """The addresses of the register; `view` lets only officers in."""
    one = "duties/breaches/<uuid:pk>"
    return [
        path("duties/breaches/", view(register), name="breaches"),
        path("duties/breaches/new/", view(edit), name="breach_new"),
        path(f"{one}/", view(read), name="breach"),
        path(f"{one}/edit/", view(edit), name="breach_edit"),
        path(f"{one}/act/", view(act), name="breach_act"),
        path(f"{one}/people/", view(people), name="breach_people"),
        path(f"{one}/authority/", view(authority), name="breach_authority"),
        path(f"{one}/authority/pdf/", view(authority_pdf), name="breach_authority_pdf"),
        path(f"{one}/letter/<slug:locale>/", view(letter), name="breach_letter"),
        path(f"{one}/letter/<slug:locale>/pdf/", view(letter_pdf), name="breach_letter_pdf"),
    ]


def register(request: HttpRequest) -> HttpResponse:
    """All breaches, the open ones first."""
    closed = Breach.objects.filter(organization__in=_own(request), closed_at__isnull=False)
    context = {
        **admin.site.each_context(request),
        "title": _("Breaches"),
        "running": running(_own(request)),
        "closed": closed.select_related("organization"),
    }
    return TemplateResponse(request, "admin/breaches.html", context)


def edit(request: HttpRequest, pk: UUID | None = None) -> HttpResponse:
    """Write a breach into the register, or write what was learned since."""
    own = _own(request)
    breach = _breach(request, pk) if pk else Breach()
    if breach.closed_at is not None:
        return _back(breach)
    first = {"organization": own.first(), "discovered_at": timezone.localtime()} if not pk else {}
    form = BreachForm(request.POST or None, instance=breach, own=own, initial=first)
    if request.method == "POST" and form.is_valid():
        breach = form.save(commit=False)
        try:
            breaches.write(breach=breach, actor=actor(request.user))
        except BreachRefused as error:
            messages.error(request, str(error))
        else:
            messages.success(request, _("Saved."))
        return _back(breach)
    context = {
        **admin.site.each_context(request),
        "title": _("A breach"),
        "form": form,
        "breach": breach if pk else None,
    }
    status = 400 if request.method == "POST" else 200
    return TemplateResponse(request, "admin/breach_edit.html", context, status=status)


def read(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The entry as it stands, and what is to be decided and done."""
    breach = _breach(request, pk)
    return documents.page(
        request,
        "breach",
        _("A breach"),
        acts="admin/_breach_acts.html",
        now=timezone.localtime().strftime(WHEN),
        locales=_locales(breach),
        no_mail=mail.missing(breach.organization),
        **_entry(breach),
    )


def act(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One step: a decision, a time at which the authority was told, the messages, the end."""
    breach, who = _breach(request, pk), actor(request.user)
    if request.method != "POST":
        return _back(breach)
    given = request.POST
    try:
        match given.get("act"):
            case "authority" | "people" as whom:
                tell = given.get("tell") == "yes"
                why = given.get("why", "")[:LONGEST]
                breaches.decide(breach=breach, whom=whom, tell=tell, why=why, actor=who)
            case "told":
                breaches.told_authority(breach=breach, at=_moment(given.get("at", "")), actor=who)
            case "send":
                breaches.tell_people(breach=breach, actor=who)
                messages.success(request, _("The messages are on their way."))
            case "close":
                breaches.close(breach=breach, actor=who)
    except BreachRefused as error:
        messages.error(request, str(error))
    return _back(breach)


def people(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The people of this officer's stores whom it touched, one page at a time, for a reason."""
    breach = _breach(request, pk)
    key = f"reason:{breach.pk}"
    if request.method == "POST" and request.POST.get("reason") in REASONS:
        request.session[key] = [request.POST["reason"], timezone.now().timestamp()]
        return HttpResponseRedirect(request.path)
    reason, at = request.session.get(key, ("", 0.0))
    every = admin.site.each_context(request)
    if not reason or timezone.now().timestamp() - at > REASON_SECONDS:
        context = {
            **every,
            "title": _("Why do you open this record?"),
            "reasons": list(REASONS.items()),
            "object_label": _("the people whom this breach touched"),
        }
        return TemplateResponse(request, "admin/reason.html", context)
    found = breaches.affected(breach, stores_of(request.user, Role.Kind.DPO))
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    with transaction.atomic():
        for visitor in page.object_list:
            audit.record(
                actor=actor(request.user),
                action="visitor.looked",
                subject=visitor.subject,
                visitor=str(visitor.pk),
                reason=reason,
            )
    context = {**every, "title": _("Whom it touched"), "breach": breach, "page": page}
    return TemplateResponse(request, "admin/breach_people.html", context)


# Notices, filled from the register.


def authority(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What the authority is told (GDPR 33(3))."""
    files = [(reverse("admin:breach_authority_pdf", args=[pk]), "PDF")]
    title = _("Notice to the authority")
    entry = _entry(_breach(request, pk))
    return documents.page(request, "breach_authority", title, files=files, **entry)


def authority_pdf(request: HttpRequest, pk: UUID) -> HttpResponse:
    title, entry = _("Notice to the authority"), _entry(_breach(request, pk))
    return documents.pdf(request, "breach_authority", title, **entry)


def letter(request: HttpRequest, pk: UUID, locale: str) -> HttpResponse:
    """What people are told (GDPR 34(2)), in one language."""
    breach = _breach(request, pk)
    files = [(reverse("admin:breach_letter_pdf", args=[pk, _known(locale)]), "PDF")]
    with override(locale):
        words = breaches.letter(breach)
        page = documents.page(
            request, "breach_letter", _("Notice to people"), files=files, locale=locale, **words
        )
        assert isinstance(page, TemplateResponse)
        return page.render()


def letter_pdf(request: HttpRequest, pk: UUID, locale: str) -> HttpResponse:
    breach = _breach(request, pk)
    with override(_known(locale)):
        words = {**breaches.letter(breach), "locale": locale}
        return documents.pdf(request, "breach_letter", _("Notice to people"), **words)


def _entry(breach: Breach) -> dict[str, Any]:
    stores = list(breach.affected_stores())
    laws = {store.pack.name: store.pack.source["breach_hours"] for store in stores}
    count = breaches.counted(breach)
    return {
        "breach": breach,
        "clock": Running(breach, breach.due_at),
        "laws": sorted(laws.items()),
        "stores": stores,
        "count": count,
        "kinds": [(kind.label, number) for kind, number in count.kinds.items()],
    }


def _locales(breach: Breach) -> list[tuple[str, str]]:
    """The languages that people of these stores may have signed in."""
    spoken = {code for store in breach.affected_stores() for code in store.languages}
    return [(code, str(name)) for code, name in settings.LANGUAGES if code in spoken]


def _known(locale: str) -> str:
    if locale not in dict(settings.LANGUAGES):
        raise Http404
    return locale


def _moment(written: str) -> datetime:
    """Read a day and a time on the house's clock; a second is added that a browser leaves out."""
    try:
        at = parse_datetime(written)
    except ValueError:
        at = None
    if at is None:
        raise BreachRefused(_("Choose a time since we learned of it, up to now."))
    at = at if timezone.is_aware(at) else timezone.make_aware(at)
    # What was typed to the minute may lie before the seconds at which it was learned.
    if at.second or at > timezone.now():
        return at
    return min(at + timedelta(seconds=59), timezone.now())


def _own(request: HttpRequest) -> QuerySet[Organization]:
    return organizations_of(request.user, Role.Kind.DPO)


def _breach(request: HttpRequest, pk: UUID) -> Breach:
    own = Breach.objects.filter(organization__in=_own(request)).select_related("organization")
    return get_object_or_404(own, pk=pk)


def _back(breach: Breach) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:breach", args=[breach.pk]))
