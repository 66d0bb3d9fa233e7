"""The URLs of the load test's host."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("records/", include("medblocks_connect.urls"))]
