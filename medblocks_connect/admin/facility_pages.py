"""The admin of the catalog: its age, its facilities, and those that patients missed in it."""

# ruff: noqa: ARG002 - Django gives its hooks more than these need

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from medblocks_connect.admin import filters
from medblocks_connect.admin.read_only import ReadOnlyAdmin
from medblocks_connect.conf import conf, find_workspace
from medblocks_connect.facilities.catalog import find_catalog, find_other_workspace, is_too_old
from medblocks_connect.models import CatalogSync, Facility, FacilityRequest, MissingFacility

if TYPE_CHECKING:
    # The stubs' class has type parameters, Django's has none at run time.
    _TabularInline = admin.TabularInline[FacilityRequest, MissingFacility]
else:
    _TabularInline = admin.TabularInline


@admin.register(Facility)
class FacilityAdmin(ReadOnlyAdmin):
    """The catalog as the last sync left it, with a warning where it is too old."""

    view_permission = "medblocks_connect.view_facility"
    list_display = ("name", "type", "connection_id", "workspace", "changed_at", "withdrawn_at")
    list_filter = (filters.WithdrawnFilter, filters.WorkspaceFilter)
    search_fields = ("name", "=connection_id")
    search_help_text = _("Part of the name, or the whole facility id.")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list, and say where the catalog is too old or not there."""
        if self.has_view_permission(request):
            _warn_of_age(request)
        return super().changelist_view(request, extra_context)


def _warn_of_age(request: HttpRequest) -> None:
    catalog = find_catalog()
    command = "manage.py medblocks_sync_facilities"
    if catalog is None and (other := find_other_workspace()):
        text = gettext(
            "The local catalog is of the workspace %(other)s, and the API key opens %(ours)s: "
            "every search asks Medblocks. Run %(command)s."
        )
        worlds = {"other": other, "ours": find_workspace(), "command": command}
        messages.warning(request, text % worlds)
    elif catalog is None:
        text = gettext("There is no local catalog: every search asks Medblocks. Run %(command)s.")
        messages.info(request, text % {"command": command})
    elif is_too_old(catalog):
        text = ngettext(
            "The catalog is older than %(days)d day. Run %(command)s.",
            "The catalog is older than %(days)d days. Run %(command)s.",
            conf.catalog_max_age_days,
        )
        facts = {"days": conf.catalog_max_age_days, "command": command}
        messages.warning(request, text % facts)


@admin.register(CatalogSync)
class CatalogSyncAdmin(ReadOnlyAdmin):
    """Every sync, the newest first."""

    view_permission = "medblocks_connect.view_catalogsync"
    list_display = (
        "started_at",
        "finished_at",
        "workspace",
        "fetched",
        "added",
        "changed",
        "withdrawn",
    )
    list_filter = (filters.WorkspaceFilter,)


class FacilityRequestInline(_TabularInline):
    """The patients' notes, where the host's settings keep them."""

    model = FacilityRequest
    fields = readonly_fields = ("created_at", "note", "patient_id")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: patients write these."""
        return False


@admin.register(MissingFacility)
class MissingFacilityAdmin(ReadOnlyAdmin):
    """The names that patients searched for in vain, the most wanted first.

    Whoever has Django's permission may delete a row, once it is dealt with.
    """

    view_permission = "medblocks_connect.view_missingfacility"
    list_display = ("looked_for", "requests", "searches", "workspace", "first_at", "last_at")
    list_filter = (filters.WorkspaceFilter,)
    sortable_by = ("requests", "searches", "last_at")
    search_fields = ("text",)
    inlines = (FacilityRequestInline,)

    @admin.display(description=_("looked for"))
    def looked_for(self, missing: MissingFacility) -> str:
        """Return the text, or what stands for those that are only counted."""
        return str(missing)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the delete permission is there."""
        return bool(request.user.has_perm("medblocks_connect.delete_missingfacility"))
