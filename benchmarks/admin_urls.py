"""The sites that ``benchmarks/admin.py`` compares: ours, a plain admin, ours with ``=`` fields."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.urls import include, path

from medblocks_connect.admin import AttemptAdmin
from medblocks_connect.admin.attempt_list import AttemptChangeList
from medblocks_connect.models import PatientConnectionAttempt


class PlainAdmin(admin.ModelAdmin):
    """An admin as a developer writes it in a minute."""

    date_hierarchy = "created_at"
    list_display = ("created_at", "patient_id", "connection_name", "status", "error", "request_id")
    list_filter = ("status", "error", "connection_type", "created_at")
    search_fields = ("patient_id", "patient_session_id", "connection_name")


class EqualsChangeList(AttemptChangeList):
    """Our list without our search."""

    get_queryset = ChangeList.get_queryset


class EqualsAdmin(AttemptAdmin):
    """Ours, with Django's way to search exactly."""

    search_fields = ("=patient_id", "=patient_session_id", "=request_id")

    def get_changelist(self, *_request, **_options):
        return EqualsChangeList

    def get_search_results(self, request, queryset, search_term):
        return admin.ModelAdmin.get_search_results(self, request, queryset, search_term)


plain = admin.AdminSite("plain")
plain.register(PatientConnectionAttempt, PlainAdmin)
equals = admin.AdminSite("equals")
equals.register(PatientConnectionAttempt, EqualsAdmin)

urlpatterns = [
    path("admin/", admin.site.urls),
    path("plain/", plain.urls),
    path("equals/", equals.urls),
    path("records/", include("medblocks_connect.urls")),
]
