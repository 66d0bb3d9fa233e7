"""Connections: a patient at a place, and the links at Medblocks that it consists of.

The rows are written by :mod:`medblocks_connect.attempts` alone; models hold no rules.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import models, router
from django.db.models import OuterRef
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from medblocks_connect.models.attempt import PatientConnectionAttempt
from medblocks_connect.models.fields import IdentifierField
from medblocks_connect.models.workspace import (
    filter_workspace,
    filter_workspace_of_few,
    make_workspace_field,
)


class ConnectionQuerySet(models.QuerySet["PatientConnection"]):
    """Questions about connections that several parts of the app ask."""

    def where_written(self) -> ConnectionQuerySet:
        """Return them as they are where they are written; a replica may lag behind."""
        return self.using(router.db_for_write(self.model))

    def in_workspace(self) -> ConnectionQuerySet:
        """Return those of the workspace in force now: another's are true in it alone."""
        return filter_workspace(self)

    def of_patient(self, patient_id: str | OuterRef) -> ConnectionQuerySet:
        """Return the connections of exactly this patient, in the workspace in force now."""
        return filter_workspace_of_few(self.filter(patient_id=patient_id))

    def at_places(self, place_ids: Iterable[str]) -> ConnectionQuerySet:
        """Return those at one of these places."""
        return self.filter(place_id__in=list(place_ids))

    def with_links(self) -> ConnectionQuerySet:
        """Return them with their links, which are read where they themselves are."""
        links = ConnectionLink.objects.using(self.db)
        return self.prefetch_related(models.Prefetch("links", queryset=links))

    def that_stand(self) -> ConnectionQuerySet:
        """Return those that work now."""
        return self.filter(state=PatientConnection.State.CONNECTED)


class PatientConnection(models.Model):
    """A patient at a place: whether they are connected there now, and what is known of it."""

    class State(models.TextChoices):
        """The state of a connection; ``attempts/connection_state.py`` concludes it."""

        CONNECTED = "connected", _("Connected")
        CHECKING = "checking", _("Being checked")
        LOST = "lost", _("Access lost")
        DISCONNECTED = "disconnected", _("Disconnected")

    workspace = make_workspace_field()
    patient_id = IdentifierField(_("patient"), max_length=200)
    place_id = IdentifierField(
        _("place"),
        max_length=500,
        help_text=_("Medblocks' id of the facility, or its FHIR base URL where no id was told."),
    )
    connection_id = IdentifierField(
        _("facility id"),
        max_length=500,
        help_text=_("The facility as it was chosen last: what to connect again with."),
    )
    connection_name = models.CharField(_("facility"), max_length=255, blank=True, default="")
    connection_type = models.CharField(_("record system"), max_length=50, blank=True, default="")
    state = models.CharField(_("state"), max_length=12, choices=State.choices)
    status = models.CharField(
        _("connection"),
        max_length=50,
        blank=True,
        default="",
        help_text=_("As Medblocks calls it."),
    )
    was_ended_here = models.BooleanField(
        _("ended here"),
        default=False,
        help_text=_("The patient disconnected it on this site's own page."),
    )
    ended_by = IdentifierField(
        _("ended by"),
        max_length=200,
        blank=True,
        default="",
        help_text=_("Who disconnected it here for the patient; empty: the patient."),
    )
    since = models.DateTimeField(_("connected since"), null=True, blank=True)
    lost_at = models.DateTimeField(_("access lost"), null=True, blank=True)
    records_at = models.DateTimeField(_("records last came"), null=True, blank=True)
    records_failed_at = models.DateTimeField(_("records last failed"), null=True, blank=True)
    asked_at = models.DateTimeField(_("Medblocks last asked"), null=True, blank=True)
    # Until then nobody else asks about the patient in turn (patient_connections/polling.py).
    leased_until = models.DateTimeField(null=True, blank=True, editable=False)
    changed_at = models.DateTimeField(_("last changed"), default=timezone.now)
    # The newest attempt that connected it: the way to its page, and whose signals tell of it.
    attempt = models.ForeignKey(
        PatientConnectionAttempt,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("attempt"),
    )

    objects = ConnectionQuerySet.as_manager()

    class Meta:
        verbose_name = _("connection")
        verbose_name_plural = _("connections")
        ordering = ["-id"]
        default_permissions = ()  # whoever sees attempts sees them
        indexes = [
            # The reconnect queue: the newest loss first.
            models.Index(fields=["workspace", "lost_at"], name="medblocks_connection_lost"),
            models.Index(
                fields=["workspace", "records_failed_at"], name="medblocks_connection_gap"
            ),
            # Whom to ask about next, the longest unasked first.
            models.Index(
                fields=["workspace", "state", "asked_at"], name="medblocks_connection_asked"
            ),
            # How many patients got through at each place lately.
            models.Index(fields=["workspace", "since"], name="medblocks_connection_since"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["patient_id", "place_id", "workspace"], name="medblocks_connection_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.facility} \u00b7 {self.get_state_display()}"

    @property
    def facility(self) -> str:
        """The facility's name, or its id where nobody told the name."""
        return self.connection_name or self.place_id

    @property
    def is_connected(self) -> bool:
        """Return whether it works now."""
        return self.state == self.State.CONNECTED

    @property
    def lacks_records(self) -> bool:
        """Return whether records were to come and, as far as is known, have not all come since."""
        if self.records_failed_at is None:
            return False
        return self.records_at is None or self.records_at <= self.records_failed_at


class LostConnection(PatientConnection):
    """A connection whose access was lost, as the admin's reconnect queue lists them."""

    class Meta:
        proxy = True
        default_permissions = ()  # whoever sees attempts sees them
        verbose_name = _("lost connection")
        verbose_name_plural = _("reconnect queue")


class ConnectionLink(models.Model):
    """One link of a connection at Medblocks, ``conn_…``: what was told of it, and when."""

    connection = models.ForeignKey(
        PatientConnection, on_delete=models.CASCADE, related_name="links", db_index=False
    )
    patient_connection_id = IdentifierField(
        _("Medblocks connection"), max_length=255, blank=True, default=""
    )
    status = models.CharField(_("connection"), max_length=50)
    as_of = models.DateTimeField()
    active_as_of = models.DateTimeField(null=True)
    ended_here_at = models.DateTimeField(null=True)
    since = models.DateTimeField(null=True)
    told_lost_at = models.DateTimeField(null=True)
    seen_lost_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("link")
        verbose_name_plural = _("links")
        ordering = ["id"]
        default_permissions = ()
        indexes = [
            models.Index(fields=["patient_connection_id"], name="medblocks_link_id"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "patient_connection_id"], name="medblocks_link_once"
            ),
        ]

    def __str__(self) -> str:
        return self.patient_connection_id
