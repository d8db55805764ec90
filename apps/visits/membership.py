"""The register of groups in the portal: which stores may recognise each other's visitors.

A store that is taken out is over for the others' visitors with the same commit: PostgreSQL tells
the recognizers, and the boards there take their cards down. One that is added is covered by nothing
that was signed before.
"""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model, Prefetch, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.audit import services as audit
from apps.stores.access import actor, stores_of
from apps.stores.admin import StoreScopedAdmin
from apps.stores.groups import refusals
from apps.stores.models import Membership, Role, Store, StoreGroup
from apps.visits.services import announce_all


@transaction.atomic
def change_members(*, group: StoreGroup, stores: Iterable[Store], actor: str) -> None:
    """Have just these stores in a group. Raises ValidationError."""
    # Whoever signs for the group at this moment need not wait for it.
    StoreGroup.objects.select_for_update(no_key=True).get(pk=group.pk)
    wanted = {store.pk: store for store in stores}
    if problems := why_not(group, wanted.values()):
        raise ValidationError(problems)
    before = set(Membership.objects.filter(group=group).values_list("store", flat=True))
    left, joined = before - set(wanted), set(wanted) - before
    if not left and not joined:
        return
    Membership.objects.filter(group=group, store__in=left).delete()
    for store in joined:
        Membership.objects.create(group=group, store=wanted[store])
    audit.record(
        actor=actor,
        action="group.changed",
        group=str(group.pk),
        joined=sorted(map(str, joined)),
        left=sorted(map(str, left)),
    )
    announce_all(left)


def why_not(group: StoreGroup, stores: Iterable[Store]) -> list[str]:
    """Why these stores cannot be this group, one sentence each."""
    stores = list(stores)
    taken = Membership.objects.exclude(group=group.pk).filter(store__in=stores)
    return [
        *refusals(stores, group.organization),
        *(
            _("%(store)s is in the group “%(group)s” already.")
            % {"store": each.store.name, "group": each.group.name}
            for each in taken.select_related("store", "group")
        ),
    ]


class StoreGroupForm(forms.ModelForm):
    """A group with a box for each store that this officer answers for."""

    stores = forms.ModelMultipleChoiceField(
        Store.objects.none(),
        required=False,
        label=gettext_lazy("Stores"),
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy(
            "A store that you take out stops recognising the others’ visitors at once. One that "
            "you add is not covered by what was signed before."
        ),
    )
    own: QuerySet[Store]

    class Meta:
        model = StoreGroup
        fields = ("organization", "name")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["stores"].queryset = self.own  # type: ignore[attr-defined]
        if not self.instance._state.adding:
            self.fields["stores"].initial = self.own.filter(membership__group=self.instance)

    def members(self) -> list[Store]:
        """The stores that are ticked, and those of the group that are other officers' to take."""
        others = Store.objects.none()
        if not self.instance._state.adding:
            others = Store.objects.filter(membership__group=self.instance).exclude(pk__in=self.own)
        return [*self.cleaned_data["stores"], *others]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "organization" in cleaned:
            self.instance.organization = cleaned["organization"]
        known = self.instance.organization_id and "stores" in cleaned
        if known and (problems := why_not(self.instance, self.members())):
            self.add_error("stores", problems)
        return cleaned


class StoreGroupAdmin(StoreScopedAdmin):
    """The groups of an officer's organizations."""

    store_path = "organization__stores"
    writable = True
    form = StoreGroupForm
    list_display = ("name", "organization", "members")
    list_select_related = ("organization",)
    fields = ("organization", "name", "stores")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        members = Prefetch("memberships", Membership.objects.select_related("store"))
        return super().get_queryset(request).distinct().prefetch_related(members)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return () if obj is None else ("organization",)

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, *args, **kwargs)
        form.own = stores_of(request.user, Role.Kind.DPO)
        return form

    @transaction.atomic
    def save_model(self, request: HttpRequest, obj: StoreGroup, form: Any, change: bool) -> None:  # type: ignore[override]
        super().save_model(request, obj, form, change)
        change_members(group=obj, stores=form.members(), actor=actor(request.user))

    @admin.display(description=gettext_lazy("stores"))
    def members(self, group: StoreGroup) -> str:
        return _(", ").join(each.store.name for each in group.memberships.all())
