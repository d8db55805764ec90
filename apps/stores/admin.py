"""Stores and tablets in the portal; each officer sees their own stores.

Cameras are in `visits.admin`: their pages show what only the pipeline knows.
"""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.audit import services as audit
from apps.audit.admin import PortalAdmin
from apps.stores import devices, tablets
from apps.stores.access import actor, organizations_of, stores_of
from apps.stores.models import (
    Device,
    Organization,
    Role,
    Store,
    ThirdParty,
    User,
)
from apps.stores.words import WordsField


class StoreScopedAdmin(PortalAdmin):
    """Rows of the stores in which this user is the data protection officer."""

    store_path = "store"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        return rows.filter(**{f"{self.store_path}__in": _stores(request)})

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "store":
            kwargs["queryset"] = _stores(request)
        if db_field.name == "organization":
            kwargs["queryset"] = organizations_of(request.user, Role.Kind.DPO)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        audit.record(
            actor=actor(request.user),
            action=f"{obj._meta.model_name}.{'changed' if change else 'added'}",
            object=str(obj.pk),
            fields=sorted(form.changed_data),
        )


def _stores(request: HttpRequest) -> QuerySet[Store]:
    return stores_of(request.user, Role.Kind.DPO)


@admin.register(Organization)
class OrganizationAdmin(StoreScopedAdmin):
    store_path = "stores"
    writable = True
    list_display = ("name", "contact_name", "contact_email")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).distinct()

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False


@admin.register(Store)
class StoreAdmin(StoreScopedAdmin):
    store_path = "pk"
    writable = True
    list_display = ("name", "organization", "jurisdiction", "non_face_check_in")
    fieldsets = (
        (None, {"fields": ("organization", "name", "slug", "jurisdiction")}),
        (
            gettext_lazy("Without a face"),
            {"fields": ("non_face_check_in", "check_in_words")},
        ),
        (gettext_lazy("Kiosk"), {"fields": ("languages",)}),
        (gettext_lazy("Visits"), {"fields": ("absence_minutes", "cool_down_minutes")}),
    )

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "languages":
            return forms.MultipleChoiceField(
                choices=settings.LANGUAGES,
                widget=forms.CheckboxSelectMultiple,
                label=gettext_lazy("Languages"),
                help_text=db_field.help_text,
            )
        if db_field.name == "check_in_words":
            longest = Store._meta.get_field("non_face_check_in").max_length or 0
            return WordsField(
                max_length=longest,
                label=capfirst(db_field.verbose_name),
                help_text=db_field.help_text,
            )
        return super().formfield_for_dbfield(db_field, request, **kwargs)


@admin.register(ThirdParty)
class ThirdPartyAdmin(StoreScopedAdmin):
    """Who else gets data. What is written here stands in the next notice."""

    store_path = "organization__stores"
    writable = True
    list_display = ("name", "role", "country", "contract_at", "organization", "ended_at")
    list_select_related = ("organization",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).distinct()


@admin.register(Device)
class DeviceAdmin(StoreScopedAdmin):
    writable = True
    list_display = (
        "name",
        "kind",
        "store",
        "state",
        "camera_state",
        "version",
        "last_seen_at",
        "expires_at",
    )
    readonly_fields = (
        "state",
        "camera_state",
        "version",
        "reported_at",
        "last_seen_at",
        "enrolled_at",
        "revoked_at",
    )
    actions = ("give_code", "revoke")

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """What a tablet is, and where it hangs, stays: its receipts and its camera name it."""
        return self.readonly_fields if obj is None else ("kind", "store", *self.readonly_fields)

    def save_model(self, request: HttpRequest, obj: Device, form: Any, change: bool) -> None:  # type: ignore[override]
        if not change and obj.kind == Device.Kind.DOOR:
            devices.add_door(obj, actor=actor(request.user))
        super().save_model(request, obj, form, change)

    @admin.display(description=gettext_lazy("how it fares"))
    def state(self, device: Device) -> str:
        return tablets.state_of(device)

    @admin.action(description=gettext_lazy("Give a new one-time enrolment code"))
    def give_code(self, request: HttpRequest, queryset: QuerySet[Device]) -> None:
        for device in queryset:
            code = devices.new_code(device=device, actor=actor(request.user))
            text = _(
                "Type %(code)s at the tablet %(name)s, on its page %(page)s, within 24 hours. "
                "It is shown only now."
            )
            told = {"code": code, "name": device.name, "page": f"/{device.kind}/"}
            self.message_user(request, text % told, messages.SUCCESS)

    @admin.action(description=gettext_lazy("Stop these tablets now"))
    def revoke(self, request: HttpRequest, queryset: QuerySet[Device]) -> None:
        for device in queryset:
            devices.revoke(device=device, actor=actor(request.user))
        self.message_user(request, _("Stopped. Their pages close now."), messages.SUCCESS)


@admin.register(User)
class UserAdmin(PortalAdmin):
    """Who works here; accounts are made with `manage.py createsuperuser` or by the operator."""

    list_display = ("username", "first_name", "is_active", "last_login")
    fields = ("username", "first_name", "is_active", "last_login")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(roles__store__in=_stores(request)).distinct()
