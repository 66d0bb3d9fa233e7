"""The clinic's site as an app of its Django project."""

from django.apps import AppConfig


class RiverbendConfig(AppConfig):
    """The clinic's pages and its demo; it has no models of its own."""

    name = "riverbend"
    verbose_name = "Riverbend Clinic"
