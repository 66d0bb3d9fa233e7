"""Webhook deliveries: the events that Medblocks sent and signed."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from medblocks_connect.models.attempt import PatientConnectionAttempt
from medblocks_connect.models.fields import IdentifierField
from medblocks_connect.models.workspace import make_workspace_field


class WebhookDelivery(models.Model):
    """One event that Medblocks sent and signed, kept as it came, less the session's ``url``."""

    class State(models.TextChoices):
        """The state of a delivery."""

        RECEIVED = "received", _("Received")
        PROCESSED = "processed", _("Processed")
        FAILED = "failed", _("Processing failed")

    workspace = make_workspace_field()
    event_id = IdentifierField(_("event id"), max_length=255)
    event_type = models.CharField(_("type"), max_length=100, blank=True, default="")
    api_version = models.CharField(_("API version"), max_length=50, blank=True, default="")
    # Text and not JSONField: PostgreSQL's jsonb refuses what Medblocks may send (\u0000).
    payload = models.TextField(_("payload"), blank=True, default="", editable=False)
    digest = models.CharField(max_length=64, editable=False)
    attempt = models.ForeignKey(
        PatientConnectionAttempt,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="deliveries",
        verbose_name=_("attempt"),
    )
    patient_session_id = IdentifierField(
        _("Medblocks session"), max_length=255, blank=True, default=""
    )
    patient_connection_id = IdentifierField(
        _("Medblocks connection"), max_length=255, blank=True, default=""
    )
    # The one that the event names; some name none.
    patient_id = IdentifierField(
        _("patient"), max_length=200, blank=True, default="", editable=False
    )
    state = models.CharField(
        _("state"), max_length=10, choices=State.choices, default=State.RECEIVED
    )
    failure = models.CharField(
        _("why it failed"),
        max_length=200,
        blank=True,
        default="",
        help_text=_("The kind of error, without its text."),
    )
    tries = models.PositiveIntegerField(_("tries"), default=0)
    conflicts = models.PositiveIntegerField(
        _("conflicts"),
        default=0,
        help_text=_("How often the same event id came with another body. The first stands."),
    )
    occurred_at = models.DateTimeField(_("happened"), null=True, blank=True)
    received_at = models.DateTimeField(_("received"), default=timezone.now)
    processed_at = models.DateTimeField(_("processed"), null=True, blank=True)

    class Meta:
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "id"], name="medblocks_delivery_state"),
            models.Index(fields=["workspace", "id"], name="medblocks_delivery_workspace"),
            models.Index(fields=["event_type", "id"], name="medblocks_delivery_type"),
            # Not db_index, which makes PostgreSQL keep a second one, for LIKE.
            models.Index(fields=["patient_session_id"], name="medblocks_delivery_session"),
            models.Index(fields=["patient_connection_id"], name="medblocks_delivery_connection"),
            models.Index(fields=["patient_id"], name="medblocks_delivery_patient"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["event_id", "workspace"], name="medblocks_delivery_once"
            ),
        ]
        permissions = [
            ("process_webhookdelivery", _("Can process a webhook delivery again")),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"
