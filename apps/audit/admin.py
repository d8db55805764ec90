"""The ledger in the portal, and the base of everything there that is only read."""

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from apps.audit.models import Checkpoint, Entry


class PortalAdmin(admin.ModelAdmin):
    """Whoever may enter the portal may see; `writable` says whether they may also change."""

    writable = False

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.admin_site.has_permission(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return self.writable and self.has_view_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.writable and self.has_view_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Entry)
class EntryAdmin(PortalAdmin):
    """Every look and act, newest first."""

    list_display = ("seq", "at", "actor", "action", "short_subject", "detail")
    list_filter = ("action",)
    search_fields = ("action", "actor")
    list_per_page = 50
    list_display_links = ("seq",)
    fields = ("seq", "at", "actor", "action", "subject", "detail", "leaf_hash")
    readonly_fields = ("leaf_hash",)
    show_full_result_count = False

    @admin.display(description="about")
    def short_subject(self, entry: Entry) -> str:
        return entry.subject[:12]

    @admin.display(description="leaf")
    def leaf_hash(self, entry: Entry) -> str:
        return bytes(entry.leaf).hex()


@admin.register(Checkpoint)
class CheckpointAdmin(PortalAdmin):
    """Signed heads of the ledger."""

    list_display = ("size", "root", "at")
