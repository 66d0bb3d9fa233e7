"""The URLs of the clinic's site."""

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView, LogoutView
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from riverbend import views

urlpatterns = [
    path("", views.home, name="home"),
    path(
        "sign-in/",
        LoginView.as_view(template_name="riverbend/sign_in.html", redirect_authenticated_user=True),
        name="sign-in",
    ),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("account/", views.account, name="account"),
    path("records/", include("medblocks_connect.urls")),
    path("admin/", admin.site.urls),
    # Browsers ask for it where a page names no icon of its own, as the admin's pages do not.
    path(
        "favicon.ico",
        login_not_required(RedirectView.as_view(url=static("riverbend/mark.svg"))),
    ),
]
if apps.is_installed("medblocks_connect.sandbox"):
    urlpatterns += [path("medblocks-sandbox/", include("medblocks_connect.sandbox.urls"))]
