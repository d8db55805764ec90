"""Other systems in the portal: who is let in, their keys, and what each was not told yet.

An officer of any of a system's stores sees it and may close its doors; what opens one (a token, an
address) takes the officer of all of them.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Min, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from apps.stores.access import actor, stores_of
from apps.stores.models import Role, Store, ThirdParty
from apps.systems import delivery, services
from apps.systems.models import Client, Delivery, Event, Scope, Told
from apps.systems.receivers import NotAllowed

View = Callable[..., HttpResponse]
SHOWN = 50


def urls(view: Callable[[View], View]) -> list[URLPattern]:
    """The addresses of these pages; `view` lets only officers in."""
    return [
        path("systems/", view(hub), name="systems"),
        path("systems/add/", view(add), name="system_add"),
        path("systems/<uuid:pk>/", view(page), name="system"),
        path("systems/<uuid:pk>/token/", view(require_POST(token)), name="system_token"),
        path("systems/<uuid:pk>/webhook/", view(require_POST(webhook)), name="system_webhook"),
        path("systems/<uuid:pk>/revoke/", view(require_POST(revoke)), name="system_revoke"),
        path("systems/<uuid:pk>/again/", view(require_POST(again)), name="system_again"),
        path("systems/<uuid:pk>/told/", view(require_POST(told)), name="system_told"),
        path("systems/<uuid:pk>/end/", view(require_POST(end)), name="system_end"),
    ]


def outstanding(stores: QuerySet[Store]) -> dict[str, Any]:
    """How many ends of consent no system has acknowledged, since when, and how many failed."""
    waiting = Delivery.objects.endings().filter(
        told__client__in=Client.objects.seen_from(stores).order_by().values("pk")
    )
    return waiting.order_by().aggregate(
        count=Count("pk"), since=Min("at"), failed=Count("pk", filter=Q(failed_at__isnull=False))
    )


class ClientForm(forms.Form):
    """Name, who runs it, where, and what it may ask."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=80)
    party = forms.ModelChoiceField(
        ThirdParty.objects.none(),
        label=gettext_lazy("Who runs it"),
        required=False,
        empty_label=gettext_lazy("we do"),
        help_text=gettext_lazy("Somebody else stands in the register first, and in the notice."),
    )
    stores = forms.ModelMultipleChoiceField(
        Store.objects.none(),
        label=gettext_lazy("Stores"),
        widget=forms.CheckboxSelectMultiple,
    )
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("What it may ask"),
        choices=Scope.choices,
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )

    def __init__(self, *args: Any, own: QuerySet[Store], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        houses = own.values("organization")
        self.fields["stores"].queryset = own.order_by("name")  # type: ignore[attr-defined]
        self.fields["party"].queryset = ThirdParty.objects.filter(  # type: ignore[attr-defined]
            organization__in=houses, ended_at=None
        )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        houses = {store.organization_id for store in cleaned.get("stores", [])}
        party = cleaned.get("party")
        if len(houses) > 1:
            self.add_error("stores", _("These are stores of two organizations."))
        elif party is not None and houses and party.organization_id not in houses:
            self.add_error("party", _("It stands in the register of another organization."))
        return cleaned


def hub(request: HttpRequest) -> HttpResponse:
    """Every system of this officer's stores."""
    unacknowledged = Q(told__deliveries__isnull=False) & ~Q(told__deliveries__event=Event.ARRIVED)
    return _shown(
        request,
        "admin/systems.html",
        title=_("Other systems"),
        systems=_clients(request)
        .select_related("party", "webhook")
        .prefetch_related("stores")
        .annotate(waiting=Count("told__deliveries", filter=unacknowledged, distinct=True))
        .order_by("ended_at", "name"),
    )


def add(request: HttpRequest) -> HttpResponse:
    """Let a system in."""
    form = ClientForm(request.POST or None, own=_own(request))
    if request.method == "POST" and form.is_valid():
        client = services.add_client(
            name=form.cleaned_data["name"],
            stores=list(form.cleaned_data["stores"]),
            scopes=[Scope(scope) for scope in form.cleaned_data["scopes"]],
            party=form.cleaned_data["party"],
            actor=actor(request.user),
        )
        return HttpResponseRedirect(reverse("admin:system", args=[client.pk]))
    status = 400 if form.errors else 200
    return _shown(
        request,
        "admin/system_add.html",
        status=status,
        title=_("Let a system in"),
        form=form,
        many=[form["stores"], form["scopes"]],
    )


def page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One system."""
    return _page(request, _client(request, pk))


def token(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Make a token and show it this once."""
    client = _whole(request, pk)
    return _page(request, client, token=services.new_token(client=client, actor=_actor(request)))


def webhook(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Say where it is told, and show the secret this once."""
    client, url = _whole(request, pk), request.POST.get("url", "")
    try:
        secret = services.set_webhook(
            client=client,
            url=url,
            arrivals=bool(request.POST.get("arrivals")),
            actor=_actor(request),
        )
    except NotAllowed as refusal:
        return _page(request, client, error=str(refusal), url=url, status=400)
    return _page(request, Client.objects.get(pk=pk), secret=secret)


def revoke(request: HttpRequest, pk: UUID) -> HttpResponse:
    """End one token."""
    client = _client(request, pk)
    services.revoke(token=_picked(request, client.tokens), actor=_actor(request))
    return _back(client)


def again(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Send a message again, now."""
    client = _client(request, pk)
    delivery.send_again(delivery=_picked(request, _waiting(client)), actor=_actor(request))
    return _back(client)


def told(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The officer told them otherwise, and they said that it is done."""
    client = _client(request, pk)
    delivery.acknowledge(_picked(request, _waiting(client)).pk, by=_actor(request))
    return _back(client)


def end(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Close the door to a system."""
    client = _client(request, pk)
    services.end(client=client, actor=_actor(request))
    return _back(client)


def _page(request: HttpRequest, client: Client, *, status: int = 200, **more: Any) -> HttpResponse:
    hook = getattr(client, "webhook", None)
    waiting = _waiting(client)
    return _shown(
        request,
        "admin/system.html",
        status=status,
        title=client.name,
        system=client,
        stores=client.stores.order_by("name"),
        scopes=[scope.label for scope in Scope if scope in client.scopes],
        tokens=client.tokens.all(),
        hook=hook,
        whole=_is_whole(request, client),
        waiting=waiting[:SHOWN],
        count=waiting.count(),
        known=Told.objects.filter(client=client, subject__isnull=False).count(),
        **{"url": hook.url if hook else "", **more},
    )


def _shown(
    request: HttpRequest, template: str, *, status: int = 200, **values: Any
) -> HttpResponse:
    context = {**admin.site.each_context(request), **values}
    return TemplateResponse(request, template, context, status=status)


def _waiting(client: Client) -> QuerySet[Delivery]:
    return Delivery.objects.endings().filter(told__client=client).select_related("told")


def _picked(request: HttpRequest, rows: Any) -> Any:
    try:
        return get_object_or_404(rows, pk=UUID(request.POST.get("id", "")))
    except ValueError:
        raise PermissionDenied from None


def _own(request: HttpRequest) -> QuerySet[Store]:
    return stores_of(request.user, Role.Kind.DPO)


def _clients(request: HttpRequest) -> QuerySet[Client]:
    return Client.objects.seen_from(_own(request))


def _client(request: HttpRequest, pk: UUID) -> Client:
    found = _clients(request).select_related("party", "organization", "webhook")
    return get_object_or_404(found, pk=pk)


def _is_whole(request: HttpRequest, client: Client) -> bool:
    """Whether this officer answers for all of its stores."""
    return not client.stores.exclude(pk__in=_own(request)).exists()


def _whole(request: HttpRequest, pk: UUID) -> Client:
    client = _client(request, pk)
    if client.ended_at is not None or not _is_whole(request, client):
        raise PermissionDenied
    return client


def _back(client: Client) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:system", args=[client.pk]))


def _actor(request: HttpRequest) -> str:
    return actor(request.user)
