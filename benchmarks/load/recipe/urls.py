"""The URLs of the recipe's site, as the app has them, so that the same patients can use both."""

from __future__ import annotations

from django.urls import path

from benchmarks.load.recipe import views

urlpatterns = [
    path("records/search/", views.search),
    path("records/start/", views.start, name="start"),
    path("records/return/", views.come_back, name="return"),
    path("records/webhook/", views.receive_webhook),
]
