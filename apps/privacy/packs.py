"""The portal's page on models: which one recognises people, which one is left, and how far that is.

No photo is kept, so nobody can be moved to another model without coming by once more. The page
shows how many did, and lets an officer set the day on which the rest ends.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import ceil
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.audit.admin import PortalAdmin
from apps.recognition.models import Recognizer
from apps.retention.models import Erasure
from apps.stores.access import actor, stores_of
from apps.stores.models import Role, Store
from apps.visitors.models import Card, FaceTemplate, FormerPack, left, overdue
from apps.visitors.services import DayRefused, end_pack

LATELY = 14
"""Days over which the pace is measured."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a store is. anew, behind: templates of the former pack with and without one of the
    present. mixed_up: of those behind, whom the present pack cannot tell from somebody else.
    pace: taken anew a day lately.
    """

    store: Store | None
    anew: int
    behind: int
    mixed_up: int
    pace: float

    @property
    def total(self) -> int:
        return self.anew + self.behind

    @property
    def percent(self) -> int:
        """Rounded down: a hundred means everybody."""
        return 100 * self.anew // self.total if self.total else 100

    @property
    def finish(self) -> date | None:
        """When the last one would be taken anew at this pace; None when nobody can tell."""
        if not self.behind or not self.pace:
            return None
        days = ceil(self.behind / self.pace)
        return timezone.now().date() + timedelta(days=days) if days < 3660 else None


@dataclass(frozen=True, slots=True)
class Loss:
    """What would go on a day: templates, and people who are known by nothing else."""

    templates: int
    people: int


@dataclass(frozen=True, slots=True)
class Leaving:
    """A former pack that still has templates, or no day yet."""

    pack: FormerPack
    read: bool
    whole: Progress
    stores: list[Progress]
    loss: Loss


@dataclass(frozen=True, slots=True)
class Ended:
    """A retired pack and what went with it in these stores."""

    pack: FormerPack
    templates: int
    people: int
    waiting: int


class EndForm(forms.Form):
    """The day on which a model ends, and why."""

    day = forms.DateField(
        label=gettext_lazy("First day without it"),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    reason = forms.CharField(
        label=gettext_lazy("Why then"),
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def clean_day(self) -> date:
        day: date = self.cleaned_data["day"]
        if day < timezone.now().date():
            raise forms.ValidationError(_("This day is over. Choose today or a later one."))
        return day


class FormerPackAdmin(PortalAdmin):
    """One page instead of a list; ending a model shows first what that does."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/end/", view(self.end_view), name="model_end"),
            path("<int:pk>/keep/", view(self.keep_view), name="model_keep"),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the models."""
        return self._page(request)

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """A model has no page of its own."""
        return HttpResponseRedirect(reverse("admin:visitors_formerpack_changelist"))

    def end_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show what ending this model on that day would erase; set the day on the second step."""
        pack = get_object_or_404(FormerPack, pk=pk)
        if request.method != "POST" or not _is_theirs(request, pack):
            return HttpResponseRedirect(reverse("admin:visitors_formerpack_changelist"))
        form = EndForm(request.POST)
        if not form.is_valid():
            return self._page(request, forms_by_pack={pack.pk: form}, status=400)
        day, reason = form.cleaned_data["day"], form.cleaned_data["reason"]
        if not request.POST.get("confirm"):
            context = {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": _("End a model"),
                "pack": pack,
                "day": day,
                "reason": reason,
                "loss": loss(pack, day),
                "today": day == timezone.now().date(),
            }
            return TemplateResponse(request, "admin/model_end.html", context)
        try:
            end_pack(pack=pack, day=day, reason=reason, actor=actor(request.user))
        except DayRefused as refusal:
            form.add_error("day", _sentence(refusal))
            return self._page(request, forms_by_pack={pack.pk: form}, status=400)
        self.message_user(request, _("The day is set, and in the ledger."), messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:visitors_formerpack_changelist"))

    def keep_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Take the day back, as long as it has not come."""
        pack = get_object_or_404(FormerPack, pk=pk)
        if request.method == "POST" and _is_theirs(request, pack):
            try:
                end_pack(pack=pack, day=None, reason="", actor=actor(request.user))
            except DayRefused as refusal:
                self.message_user(request, _sentence(refusal), messages.WARNING)
            else:
                self.message_user(request, _("The day is taken back."), messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:visitors_formerpack_changelist"))

    def _page(
        self,
        request: HttpRequest,
        *,
        forms_by_pack: dict[int, EndForm] | None = None,
        status: int = 200,
    ) -> HttpResponse:
        stores = stores_of(request.user, Role.Kind.DPO)
        running = Recognizer.objects.running()
        packs = list(FormerPack.objects.all())
        given = forms_by_pack or {}
        shown = [
            (one, _is_theirs(request, one.pack), given.get(one.pack.pk) or _form(one.pack))
            for one in leaving(packs, stores, running)
        ]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Models"),
            "present": present(running),
            "leaving": shown,
            "ended": ended(packs, stores),
            "lately": LATELY,
        }
        return TemplateResponse(request, "admin/models.html", context, status=status)


def present(running: QuerySet[Recognizer]) -> list[Recognizer]:
    """One recognizer for each pack that recognises people now."""
    return list(running.order_by("pack", "pack_version").distinct("pack", "pack_version"))


def leaving(
    packs: Iterable[FormerPack], stores: QuerySet[Store], running: QuerySet[Recognizer]
) -> list[Leaving]:
    """The packs that are being left, as far as an officer's stores are concerned."""
    read = set(running.values_list("former", flat=True))
    today = timezone.now().date()
    found = []
    for pack in packs:
        if pack.ended:
            continue
        rows = _progress(pack, stores)
        whole = Progress(
            None,
            anew=sum(row.anew for row in rows),
            behind=sum(row.behind for row in rows),
            mixed_up=sum(row.mixed_up for row in rows),
            pace=sum(row.pace for row in rows),
        )
        day = pack.ends_at.date() if pack.ends_at else today
        found.append(Leaving(pack, str(pack) in read, whole, rows, loss(pack, day, stores)))
    return found


def ended(packs: Iterable[FormerPack], stores: QuerySet[Store]) -> list[Ended]:
    """The packs whose day has come, and what went with each."""
    gone = (
        Erasure.objects.filter(cause=Erasure.Cause.RETIRED, store__in=stores)
        .order_by()
        .values_list("pack")
        .annotate(
            templates=Count("pk", filter=Q(template__isnull=False)),
            people=Count("pk", filter=Q(template=None)),
            waiting=Count("pk", filter=Q(state=Erasure.State.PENDING)),
        )
    )
    counts = {pack: numbers for pack, *numbers in gone}
    return [Ended(pack, *counts.get(str(pack), (0, 0, 0))) for pack in packs if pack.ended]


def loss(pack: FormerPack, day: date, stores: QuerySet[Store] | None = None) -> Loss:
    """What would be erased if a pack ended on a day and nobody came by until then."""
    then = datetime.combine(day, time(), UTC)
    still = _made_by(pack).filter(delete_after__gt=then, consent__expires_at__gt=then)
    if stores is not None:
        still = still.filter(store__in=stores)
    others = FaceTemplate.objects.filter(
        visitor=OuterRef("visitor"), delete_after__gt=then, consent__expires_at__gt=then
    ).exclude(pack=pack.name, pack_version=pack.version)
    cards = Card.objects.filter(
        visitor=OuterRef("visitor"), delete_after__gt=then, consent__expires_at__gt=then
    )
    lone = still.filter(~Exists(others), ~Exists(cards)).values("visitor").distinct().count()
    return Loss(still.count(), lone)


def _made_by(pack: FormerPack) -> QuerySet[FaceTemplate]:
    """A pack's templates that are within their time."""
    return FaceTemplate.objects.filter(pack=pack.name, pack_version=pack.version).exclude(overdue())


def _progress(pack: FormerPack, stores: QuerySet[Store]) -> list[Progress]:
    newer = FaceTemplate.objects.filter(
        visitor=OuterRef("visitor"), purpose=OuterRef("purpose")
    ).exclude(left())
    counts = {
        row["store"]: row
        for row in _made_by(pack)
        .annotate(is_anew=Exists(newer))
        .values("store")
        .annotate(
            anew=Count("pk", filter=Q(is_anew=True)),
            behind=Count("pk", filter=Q(is_anew=False)),
            mixed=Count("pk", filter=Q(is_anew=False, mixed_up=True)),
        )
    }
    since = max(pack.left_at, timezone.now() - timedelta(days=LATELY))
    days = max((timezone.now() - since) / timedelta(days=1), 1.0)
    taken = dict(
        FaceTemplate.objects.filter(visit__isnull=False, created_at__gte=since)
        .exclude(left())
        .values("store")
        .annotate(n=Count("pk"))
        .values_list("store", "n")
    )
    return [
        Progress(
            store,
            anew=counts[store.pk]["anew"],
            behind=counts[store.pk]["behind"],
            mixed_up=counts[store.pk]["mixed"],
            pace=taken.get(store.pk, 0) / days,
        )
        for store in stores.order_by("name")
        if store.pk in counts
    ]


def _is_theirs(request: HttpRequest, pack: FormerPack) -> bool:
    """Whether every template that would go is of a store which this officer answers for."""
    mine = stores_of(request.user, Role.Kind.DPO)
    return not _made_by(pack).exclude(store__in=mine).exists()


def _form(pack: FormerPack) -> EndForm:
    """With the day that is set, to be changed."""
    day = pack.ends_at.date().isoformat() if pack.ends_at else None
    return EndForm(initial={"day": day, "reason": pack.reason})


def _sentence(refusal: DayRefused) -> str:
    if refusal.code == "ended":
        return _("This model has ended already. What was erased does not come back.")
    return _("This day is over. Choose today or a later one.")
