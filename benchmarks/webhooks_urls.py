"""The URLs of ``benchmarks/webhooks.py``: our receiver, dj-stripe's and an empty view."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def do_nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=200 if request.body else 400)


urlpatterns = [
    path("records/", include("medblocks_connect.urls")),
    path("stripe/", include("djstripe.urls")),
    path("nothing/", do_nothing),
]
