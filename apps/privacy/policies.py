"""The portal's page on retention policies: for how long each store keeps what, and what a change
does to those who are there, shown as counts before it is made.
"""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from apps.audit.admin import PortalAdmin
from apps.retention.services import policy as policies_service
from apps.stores import policies
from apps.stores.access import actor, stores_of
from apps.stores.models import Role, Store
from apps.stores.policies import Kind


class PolicyForm(forms.Form):
    """One figure a kind, in days, and why."""

    reason = forms.CharField(label=gettext_lazy("Why"), max_length=200)

    def __init__(self, store: Store, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        pack = store.pack
        for kind, cap in policies.caps(pack).items():
            most = ngettext("%s day", "%s days", cap) % cap
            self.fields[kind.value] = forms.IntegerField(
                label=kind.label,
                min_value=1,
                max_value=cap,
                help_text=_("At most %(most)s in %(pack)s: %(source)s.")
                % {"most": most, "pack": pack.name, "source": pack.source[policies.FIGURE[kind]]},
                error_messages={
                    "max_value": _("%(pack)s allows %(most)s at most.")
                    % {"pack": pack.name, "most": most},
                },
            )
        self.order_fields([*(kind.value for kind in Kind), "reason"])

    @property
    def figures(self) -> dict[Kind, int]:
        """What was asked for, once it is valid."""
        return {kind: self.cleaned_data[kind.value] for kind in Kind}


class PolicyAdmin(PortalAdmin):
    """One page for all stores of an officer; a change shows first whom it affects."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.set_view)
        return [path("<uuid:pk>/set/", view, name="policy_set"), *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show what holds."""
        return self._page(request)

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """A figure has no page of its own."""
        return HttpResponseRedirect(reverse("admin:stores_policy_changelist"))

    def set_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Show what these figures would do; set them on the second step."""
        store = get_object_or_404(stores_of(request.user, Role.Kind.DPO), pk=pk)
        page = HttpResponseRedirect(reverse("admin:stores_policy_changelist"))
        if request.method != "POST":
            return page
        form = PolicyForm(store, request.POST)
        if not form.is_valid():
            return self._page(request, given={store.pk: form}, status=400)
        if not request.POST.get("confirm"):
            context = {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": _("Retention policies"),
                "store": store,
                "form": form,
                "effects": policies_service.preview(store=store, figures=form.figures),
            }
            return TemplateResponse(request, "admin/policy_preview.html", context)
        policies_service.change(
            store=store,
            figures=form.figures,
            reason=form.cleaned_data["reason"],
            actor=actor(request.user),
        )
        self.message_user(
            request,
            _("Set, and in the ledger. The notice says the new figures once you publish it anew."),
            messages.SUCCESS,
        )
        return page

    def _page(
        self,
        request: HttpRequest,
        *,
        given: dict[UUID, PolicyForm] | None = None,
        status: int = 200,
    ) -> HttpResponse:
        stores = stores_of(request.user, Role.Kind.DPO).prefetch_related("policies")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Retention policies"),
            "stores": [(store, (given or {}).get(store.pk) or _form(store)) for store in stores],
        }
        return TemplateResponse(request, "admin/policies.html", context, status=status)


def _form(store: Store) -> PolicyForm:
    """With what holds, to be changed."""
    return PolicyForm(store, initial={k.value: n for k, n in policies.days(store).items()})
