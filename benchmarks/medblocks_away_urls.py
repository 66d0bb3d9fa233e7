"""The URLs of ``benchmarks/medblocks_away.py``."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("records/", include("medblocks_connect.urls"))]
