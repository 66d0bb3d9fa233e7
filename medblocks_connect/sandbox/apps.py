"""The sandbox's entry into Django: its label and its system checks."""

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import register


class SandboxConfig(AppConfig):
    """The Django app ``medblocks_sandbox``."""

    name = "medblocks_connect.sandbox"
    label = "medblocks_sandbox"
    verbose_name = "Medblocks sandbox (make-believe)"
    default_auto_field = "django.db.models.BigAutoField"

    started_with_debug: bool = False

    def ready(self) -> None:
        """Register the system checks and remember how the process was started."""
        from medblocks_connect.sandbox import checks

        # Django's test runner turns DEBUG off after start, and that is no production site.
        self.started_with_debug = bool(settings.DEBUG)
        register(checks.check_sandbox_debug)
        register(checks.check_sandbox_settings)
