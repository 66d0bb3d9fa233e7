"""The sandbox alone, under a prefix, with a page to come back to."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path


def came_back(request: HttpRequest) -> HttpResponse:
    return HttpResponse("back at the clinic")


urlpatterns = [
    path("clinic/return/", came_back),
    path("make-believe/", include("medblocks_connect.sandbox.urls")),
]
