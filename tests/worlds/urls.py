"""The URLs of a host site, and one by which a test runs a command inside of it."""

from __future__ import annotations

from io import StringIO

from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def run_command(request: HttpRequest, command: str) -> HttpResponse:
    """Run ``command`` in this process, for the tenant of this host name; answer what it says."""
    told = StringIO()
    call_command(command, *request.POST.getlist("option"), stdout=told, stderr=told)
    return HttpResponse(told.getvalue(), content_type="text/plain")


urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/login/", LoginView.as_view(template_name="admin/login.html"), name="login"),
    path("records/", include("medblocks_connect.urls")),
    path("run/<str:command>/", run_command, name="run"),
]
