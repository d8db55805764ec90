"""Notices in the portal: write a version in every language, then publish and freeze it."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.consent.models import Notice, NoticeText
from apps.consent.services import ConsentRefused, publish
from apps.stores.access import actor
from apps.stores.admin import StoreScopedAdmin


class TextInline(admin.StackedInline):
    model = NoticeText
    extra = 0
    readonly_fields = ("digest",)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.admin_site.has_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request) and (obj is None or obj.published_at is None)

    has_add_permission = has_change_permission
    has_delete_permission = has_change_permission


@admin.register(Notice)
class NoticeAdmin(StoreScopedAdmin):
    store_path = "organization__stores"
    writable = True
    list_display = ("__str__", "published_at")
    list_select_related = ("organization",)
    inlines = (TextInline,)
    actions = ("publish",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).distinct()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or obj.published_at is None)

    @admin.action(description=gettext_lazy("Publish: freeze the text, kiosks show it at once"))
    def publish(self, request: HttpRequest, queryset: QuerySet[Notice]) -> None:
        for notice in queryset:
            try:
                publish(notice=notice, actor=actor(request.user))
            except ConsentRefused as error:
                self.message_user(request, f"{notice}: {error.text}", messages.ERROR)
            else:
                self.message_user(request, _("%s is published.") % notice, messages.SUCCESS)
