"""Attempts and their timelines: one row per attempt, one per piece of evidence.

The rows are written by :mod:`medblocks_connect.attempts` alone; models hold no rules.
"""

from __future__ import annotations

import secrets
from typing import Any, Final, Protocol

from django.db import models, router
from django.db.models import OuterRef, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext

from medblocks_connect.conf import find_workspace
from medblocks_connect.error_messages import NEVER_LED_AWAY
from medblocks_connect.models.fields import IdentifierField
from medblocks_connect.models.place import name_place
from medblocks_connect.models.workspace import filter_workspace, make_workspace_field


def generate_public_id() -> str:
    """Return 192 random bits as 32 URL-safe characters: nobody guesses somebody else's attempt."""
    return secrets.token_urlsafe(24)


class AttemptQuerySet(models.QuerySet["PatientConnectionAttempt"]):
    """Questions about attempts that several parts of the app ask: where is a patient connected?"""

    def where_written(self) -> AttemptQuerySet:
        """Return them as they are where they are written; a replica may lag behind."""
        return self.using(router.db_for_write(self.model))

    def of_patient(self, patient_id: str) -> AttemptQuerySet:
        """Return the attempts of exactly this patient."""
        return self.filter(patient_id=patient_id)

    def in_workspace(self) -> AttemptQuerySet:
        """Return those of the workspace in force now: another's are true in it alone."""
        return filter_workspace(self)

    def successes(self) -> AttemptQuerySet:
        """Return those that connected a facility, whether its access still stands or not."""
        return self.filter(status=PatientConnectionAttempt.Status.SUCCEEDED)

    def later_attempts(self) -> AttemptQuerySet:
        """Return what ``Exists`` asks about an attempt: its patient's attempts after it."""
        return self.filter(
            # Made in the same moment: the id says which was later.
            Q(created_at__gt=OuterRef("created_at")) | Q(pk__gt=OuterRef("pk")),
            patient_id=OuterRef("patient_id"),
            created_at__gte=OuterRef("created_at"),
        )


class PatientConnectionAttempt(models.Model):
    """One try of one patient to connect one facility, from the click to its outcome."""

    class Status(models.TextChoices):
        """The status of an attempt; ``attempts/outcome.py`` concludes it from the evidence."""

        CREATED = "created", _("Not started yet")
        STARTED = "started", _("At the portal")
        RETURNED = "returned", _("Back, not confirmed")
        EXPIRED = "expired", _("Never finished")
        FAILED = "failed", _("Failed")
        SUCCEEDED = "succeeded", _("Connected")

    public_id = IdentifierField(
        _("public id"), max_length=32, unique=True, default=generate_public_id, editable=False
    )
    workspace = make_workspace_field()
    patient_id = IdentifierField(_("patient"), max_length=200)
    # Who started it, where it was not the patient.
    actor = IdentifierField(_("acting for the patient"), max_length=200, blank=True, default="")
    connection_id = IdentifierField(
        _("facility id"),
        max_length=500,
        blank=True,
        default="",
        help_text=_("Medblocks' id of the facility, or its FHIR base URL."),
    )
    is_hosted = models.BooleanField(
        _("chosen at Medblocks"),
        default=False,
        editable=False,
        help_text=_("The patient was to choose the facility at Medblocks' own page."),
    )
    place_id = IdentifierField(
        _("place"),
        max_length=500,
        blank=True,
        default="",
        help_text=_("Medblocks' id of the facility, or its FHIR base URL where no id was told."),
    )
    connection_name = models.CharField(_("facility"), max_length=255, blank=True, default="")
    connection_type = models.CharField(_("record system"), max_length=50, blank=True, default="")
    patient_session_id = IdentifierField(  # type: ignore[misc]  # the stubs cannot say "or None"
        _("Medblocks session"), max_length=255, unique=True, null=True, blank=True, default=None
    )

    status = models.CharField(
        _("status"), max_length=10, choices=Status.choices, default=Status.CREATED
    )
    unconfirmed = models.BooleanField(
        _("claimed, not confirmed"),
        default=False,
        help_text=_("The outcome rests on the return URL alone; Medblocks has not confirmed it."),
    )
    error = models.CharField(_("error"), max_length=100, blank=True, default="")
    error_description = models.TextField(_("error description"), blank=True, default="")
    failure_at = models.DateTimeField(_("failed at, says Medblocks"), null=True, blank=True)
    request_id = models.CharField(_("Medblocks request id"), max_length=200, blank=True, default="")

    claimed_success = models.BooleanField(
        _("return URL said: connected"), default=False, help_text=_("A claim, not a fact.")
    )
    claimed_error = models.CharField(
        _("return URL said: error"), max_length=100, blank=True, default=""
    )
    claimed_error_description = models.TextField(
        _("return URL said: description"), blank=True, default=""
    )
    claim_disagrees = models.BooleanField(_("claim and fact disagree"), default=False)
    claim_count = models.PositiveIntegerField(
        _("claims of return URLs"),
        default=0,
        editable=False,
        help_text=_("The first twenty stand on the timeline."),
    )
    another_patient_at = models.DateTimeField(
        _("another patient came back"),
        null=True,
        blank=True,
        help_text=_("The link to the portal may have been passed on."),
    )

    patient_connection_id = IdentifierField(
        _("Medblocks connection"),
        max_length=255,
        blank=True,
        default="",
        help_text=_("Medblocks' id of the link that came of it, conn_…"),
    )
    connection_status = models.CharField(
        _("connection"),
        max_length=50,
        blank=True,
        default="",
        help_text=_("As Medblocks calls it."),
    )

    created_at = models.DateTimeField(_("created"), default=timezone.now)
    expires_at = models.DateTimeField(_("session expires"), null=True, blank=True)
    returned_at = models.DateTimeField(_("came back"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    lost_at = models.DateTimeField(_("access lost"), null=True, blank=True)
    asked_at = models.DateTimeField(_("Medblocks last asked"), null=True, blank=True)
    answered_at = models.DateTimeField(_("Medblocks answered"), null=True, blank=True)
    settled_at = models.DateTimeField(
        _("settled"),
        null=True,
        blank=True,
        help_text=_("Medblocks has had its last word; it is not asked again."),
    )
    leased_until = models.DateTimeField(null=True, blank=True, editable=False)
    revision = models.PositiveIntegerField(default=0, editable=False)

    objects = AttemptQuerySet.as_manager()

    class Meta:
        verbose_name = _("connection attempt")
        verbose_name_plural = _("connection attempts")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["patient_id", "-id"], name="medblocks_attempt_patient"),
            models.Index(fields=["settled_at", "status", "id"], name="medblocks_attempt_settled"),
            models.Index(fields=["patient_connection_id"], name="medblocks_attempt_connection"),
            # The admin's: newest first under each filter, without sorting and without counting.
            models.Index(fields=["created_at", "id"], name="medblocks_attempt_when"),
            models.Index(fields=["workspace", "created_at"], name="medblocks_attempt_workspace"),
            models.Index(
                fields=["patient_id", "created_at", "id"], name="medblocks_attempt_history"
            ),
            models.Index(fields=["status", "created_at"], name="medblocks_attempt_status"),
            models.Index(fields=["error", "created_at"], name="medblocks_attempt_error"),
            models.Index(fields=["place_id", "created_at"], name="medblocks_attempt_place"),
            models.Index(fields=["connection_type", "created_at"], name="medblocks_attempt_system"),
            models.Index(fields=["unconfirmed", "created_at"], name="medblocks_attempt_claimed"),
            models.Index(
                fields=["claim_disagrees", "created_at"], name="medblocks_attempt_dispute"
            ),
            models.Index(fields=["lost_at"], name="medblocks_attempt_lost"),
            models.Index(fields=["another_patient_at"], name="medblocks_attempt_another"),
            models.Index(fields=["request_id"], name="medblocks_attempt_request"),
        ]
        permissions = [
            ("ask_medblocks", _("Can ask Medblocks about an attempt again")),
            ("export_patientconnectionattempt", _("Can export connection attempts")),
        ]

    def __str__(self) -> str:
        return f"{self.facility} \u00b7 {self.get_status_display()}"

    def save(self, *args: Any, **options: Any) -> None:
        """Save, with the place that the chosen facility names where none was told."""
        self.place_id = self.place_id or name_place(self.connection_id)
        super().save(*args, **options)

    def get_absolute_url(self) -> str:
        """Return the patient's page of this attempt."""
        return reverse("medblocks_connect:attempt", args=[self.public_id])

    @property
    def facility(self) -> str:
        """The facility's name, or its id where the catalog never told the name."""
        unnamed = pgettext("in place of a facility's name", "chosen at Medblocks")
        return self.connection_name or self.connection_id or unnamed

    @property
    def is_in_workspace(self) -> bool:
        """Return whether the API key in force now opens the workspace of this attempt."""
        return self.workspace == find_workspace()

    @property
    def shown_status(self) -> Status:
        """Return the status that people are told."""
        return choose_shown_status(self.status, self.workspace)

    @property
    def is_connected(self) -> bool:
        """Return whether it connected its facility, and the access still stands.

        That of another workspace stands in that one alone.
        """
        is_held = self.status == self.Status.SUCCEEDED and self.lost_at is None
        return is_held and self.is_in_workspace

    @property
    def can_start_again(self) -> bool:
        """Return whether the patient may be offered the same facility again."""
        return bool(self.connection_id) and self.is_in_workspace

    @property
    def is_unfinished(self) -> bool:
        """Return whether the patient went to the portal and nobody has told of them since."""
        return self.shown_status == self.Status.STARTED and self.returned_at is None


class Led(Protocol):
    """An attempt, or a row with the columns that say whether its patient was led to a portal."""

    status: Any
    error: Any
    patient_session_id: Any
    returned_at: Any


def was_never_led_away(attempt: Led) -> bool:
    """Return whether the start of ``attempt`` gave its patient no way to a portal.

    As far as the row tells: of a session that was found again, only the timeline does.
    """
    if attempt.returned_at is not None or attempt.status == "succeeded":
        return False
    return (
        attempt.status == "created"
        or not attempt.patient_session_id
        or attempt.error in NEVER_LED_AWAY
    )


NEVER_LED: Final = (
    Q(returned_at__isnull=True)
    & ~Q(status=PatientConnectionAttempt.Status.SUCCEEDED)
    & (
        Q(status=PatientConnectionAttempt.Status.CREATED)
        | Q(patient_session_id__isnull=True)
        | Q(error__in=NEVER_LED_AWAY)
    )
)
"""The rows of which :func:`was_never_led_away` holds."""

OPEN_STATUSES: Final = frozenset(
    {
        PatientConnectionAttempt.Status.CREATED,
        PatientConnectionAttempt.Status.STARTED,
        PatientConnectionAttempt.Status.RETURNED,
    }
)
"""The statuses of attempts that are not over."""


def choose_shown_status(status: str, workspace: str) -> PatientConnectionAttempt.Status:
    """Return the status that people are told of an attempt.

    An open one of another workspace is over: nobody can ask Medblocks about it.
    """
    kept = PatientConnectionAttempt.Status(status)
    is_over = kept in OPEN_STATUSES and workspace != find_workspace()
    return PatientConnectionAttempt.Status.EXPIRED if is_over else kept


class PatientHistory(PatientConnectionAttempt):
    """A patient with an attempt, as the admin lists them: by the newest of their attempts.

    No table of its own: a patient is there because an attempt is, however that came to be.
    """

    class Meta:
        proxy = True
        default_permissions = ()  # whoever sees attempts sees patients
        verbose_name = _("patient")
        verbose_name_plural = _("patients")

    def __str__(self) -> str:
        return self.patient_id


class AttemptEvent(models.Model):
    """One piece of evidence on an attempt's timeline. Appended, never changed."""

    class Source(models.TextChoices):
        """The source of a piece of evidence."""

        SITE = "site", _("This site")
        RETURN = "return", _("Return URL")
        MEDBLOCKS = "medblocks", _("Medblocks, asked")
        WEBHOOK = "webhook", _("Medblocks, webhook")

    class Kind(models.TextChoices):
        """The kind of a piece of evidence."""

        CREATED = "created", _("Attempt recorded")
        STARTED = "started", _("Session opened, patient sent to the portal")
        REFUSED = "refused", _("Session not opened")
        NO_ANSWER = "no_answer", _("Medblocks was asked and did not answer")
        ADOPTED = "adopted", _("Session found again")
        CAME_BACK = "came_back", _("Patient came back")
        CLAIMED_SUCCESS = "claimed_success", _("Patient came back: said to be connected")
        CLAIMED_FAILURE = "claimed_failure", _("Patient came back: said to have failed")
        ANOTHER_PATIENT = "another_patient", _("Another patient came back")
        STILL_OPEN = "still_open", _("Session still open")
        CONNECTED = "connected", _("Connected")
        FAILED = "failed", _("Failed")
        EXPIRED = "expired", _("Session expired")
        LOST = "lost", _("Access lost")
        RECORDS_SYNCED = "records_synced", _("Records arrived")
        RECORDS_SYNC_FAILED = "records_sync_failed", _("Records did not arrive")
        DISCONNECTED = "disconnected", _("Disconnected on this site")

    attempt = models.ForeignKey(
        PatientConnectionAttempt,
        on_delete=models.CASCADE,
        related_name="events",
        db_index=False,  # the constraint's index begins with it
    )
    source = models.CharField(_("source"), max_length=10, choices=Source.choices)
    kind = models.CharField(_("what"), max_length=20, choices=Kind.choices)
    # Who caused it, where it was not the patient.
    actor = IdentifierField(_("acting for the patient"), max_length=200, blank=True, default="")
    status = models.CharField(
        _("status after it"), max_length=10, choices=PatientConnectionAttempt.Status.choices
    )
    error = models.CharField(_("error"), max_length=100, blank=True, default="")
    error_description = models.TextField(_("error description"), blank=True, default="")
    request_id = models.CharField(_("Medblocks request id"), max_length=200, blank=True, default="")
    connection_status = models.CharField(_("connection"), max_length=50, blank=True, default="")
    detail = models.CharField(_("detail"), max_length=200, blank=True, default="")
    occurred_at = models.DateTimeField(_("happened, says the source"), null=True, blank=True)
    created_at = models.DateTimeField(_("recorded"), default=timezone.now)
    fingerprint = models.CharField(max_length=64, editable=False)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("timeline")
        ordering = ["id"]
        constraints = [
            # The same evidence arrives twice (a reload, a redelivery): it is recorded once.
            models.UniqueConstraint(fields=["attempt", "fingerprint"], name="medblocks_event_once"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} ({self.get_source_display()})"
