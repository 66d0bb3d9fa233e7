"""The app's configuration: its label, and the registration of its checks."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MedblocksConnectConfig(AppConfig):
    """The app under its label ``medblocks_connect``."""

    name = "medblocks_connect"
    label = "medblocks_connect"
    verbose_name = _("Medblocks connections")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks (Django registers them when they are imported)."""
        from medblocks_connect import checks  # noqa: F401
