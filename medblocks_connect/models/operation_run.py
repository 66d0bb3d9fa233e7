"""Runs of operations: when each ran last in a workspace, and what the next run has to know."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from medblocks_connect.models.workspace import make_workspace_field


class OperationRun(models.Model):
    """The last run of one operation in one workspace."""

    class Name(models.TextChoices):
        """The operations that are remembered."""

        RECONCILE = "reconcile", _("Reconciliation")
        REGISTER_ENDPOINT = "register_endpoint", _("Registering the webhook endpoint")
        LOOK_AT_ENDPOINT = "look_at_endpoint", _("Looking at the webhook endpoint")
        FETCH_MISSED_EVENTS = "fetch_missed_events", _("Fetching missed events")
        POLL_CONNECTIONS = "poll_connections", _("Asking about connections")

    workspace = make_workspace_field()
    name = models.CharField(_("operation"), max_length=50, choices=Name.choices)
    ran_at = models.DateTimeField(_("ran last"), null=True, blank=True)
    # JSON as text, as a delivery's payload is. No secret and no patient is in it.
    state = models.TextField(default="{}", editable=False)

    class Meta:
        verbose_name = _("run of an operation")
        verbose_name_plural = _("runs of operations")
        ordering = ["id"]
        default_permissions = ()  # the overview says what staff have to know of them
        constraints = [
            models.UniqueConstraint(fields=["name", "workspace"], name="medblocks_run_once"),
        ]
        permissions = [
            ("enable_webhook_endpoint", _("Can enable the webhook endpoint at Medblocks")),
        ]

    def __str__(self) -> str:
        return self.name
