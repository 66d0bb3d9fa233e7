"""The URLs of the tests' host project."""

from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.urls import include, path
from django.views.generic import TemplateView

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/login/", LoginView.as_view(template_name="admin/login.html"), name="login"),
    path("records/", include("medblocks_connect.urls")),
    path("embedded/", TemplateView.as_view(template_name="hosts/embedded.html")),
    path("medblocks-sandbox/", include("medblocks_connect.sandbox.urls")),
]
