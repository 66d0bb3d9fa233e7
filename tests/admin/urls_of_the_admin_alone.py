"""A site whose process for staff serves the admin and none of the patients' pages."""

from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
