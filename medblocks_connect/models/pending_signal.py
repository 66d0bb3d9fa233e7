"""Pending signals: what was settled here and the host's receivers have not all been told yet."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from medblocks_connect.models.attempt import PatientConnectionAttempt
from medblocks_connect.models.webhook import WebhookDelivery
from medblocks_connect.models.workspace import make_workspace_field


class PendingSignal(models.Model):
    """A signal that a change owes: written with the change, deleted once receivers are through."""

    workspace = make_workspace_field()
    attempt = models.ForeignKey(
        PatientConnectionAttempt,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="pending_signals",
        verbose_name=_("attempt"),
    )
    # The one that caused it, where a webhook did.
    delivery = models.ForeignKey(
        WebhookDelivery,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="pending_signals",
        verbose_name=_("webhook delivery"),
    )
    name = models.CharField(_("signal"), max_length=50)
    # What receivers are given beside the attempt. Text, as a delivery's payload is.
    arguments = models.TextField(blank=True, default="{}", editable=False)
    tries = models.PositiveIntegerField(_("tries"), default=0)
    failure = models.CharField(
        _("why it failed"),
        max_length=200,
        blank=True,
        default="",
        help_text=_("The kind of error, without its text."),
    )
    # Also the hold of the process that is sending it: nobody else does before.
    due_at = models.DateTimeField(_("next try"))
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    class Meta:
        verbose_name = _("signal not sent yet")
        verbose_name_plural = _("signals not sent yet")
        ordering = ["id"]
        default_permissions = ()  # whoever sees the attempt or the delivery sees them
        indexes = [models.Index(fields=["workspace", "due_at"], name="medblocks_signal_due")]

    def __str__(self) -> str:
        return self.name
