"""An app of each clinic's own: it writes a letter to who is connected."""

from django.apps import AppConfig


class LettersConfig(AppConfig):
    name = "letters"

    def ready(self):
        from letters import receivers  # noqa: F401
