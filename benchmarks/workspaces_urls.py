"""The URLs of ``benchmarks/workspaces.py``: the patients' pages, the same for every clinic."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("records/", include("medblocks_connect.urls"))]
