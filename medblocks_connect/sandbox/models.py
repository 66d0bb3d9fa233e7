"""The sandbox's tables: patients, sessions, connections, webhooks and queued faults.

No ``__str__`` shows an email, a name or a session's ``url``.
"""

import secrets
from datetime import datetime

from django.db import models
from django.utils import timezone


def new_id(prefix: str) -> str:
    """Return a new identifier such as ``ps_4f…``."""
    return f"{prefix}_{secrets.token_hex(12)}"


def new_session_id() -> str:
    """Return a new ``ps_…``."""
    return new_id("ps")


def new_event_id() -> str:
    """Return a new ``evt_…``."""
    return new_id("evt")


def new_endpoint_id() -> str:
    """Return a new ``wh_…``."""
    return new_id("wh")


def new_secret() -> str:
    """Return a new ``whsec_…``."""
    return new_id("whsec")


def make_storable(identifier: str) -> str:
    """Return an identifier that every database can look for.

    PostgreSQL raises for a NUL in a comparison; nothing that it keeps has one.
    """
    return identifier.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def new_token() -> str:
    """Return the 32 hexadecimal digits that end a session's ``url``."""
    return secrets.token_hex(16)


class SandboxPatient(models.Model):
    """A patient, known by the host site's own identifier."""

    patient_id = models.CharField(max_length=200, unique=True)
    email = models.CharField(max_length=320, blank=True, default="")
    name = models.TextField(blank=True, default="")
    metadata = models.JSONField(blank=True, default=dict)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"sandbox patient {self.pk}"


class SessionStatus(models.TextChoices):
    """The states of a PatientSession."""

    OPEN = "open"
    COMPLETE = "complete"
    EXPIRED = "expired"


class SandboxSession(models.Model):
    """A PatientSession. Its status follows from its two moments and the clock."""

    session_id = models.CharField(max_length=64, unique=True, default=new_session_id)
    token = models.CharField(max_length=32, unique=True, default=new_token)
    url = models.CharField(max_length=2000)
    patient = models.ForeignKey(
        SandboxPatient, to_field="patient_id", on_delete=models.CASCADE, related_name="sessions"
    )
    connection_id = models.CharField(max_length=500, blank=True, default="")
    recommended_connection_ids = models.JSONField(blank=True, default=list)
    return_url = models.TextField()
    return_button_label = models.CharField(max_length=60, blank=True, default="")
    metadata = models.JSONField(blank=True, default=dict)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.session_id

    @property
    def is_hosted(self) -> bool:
        """Return whether it names no facility: the patient chooses any number on its page."""
        return not self.connection_id

    def status_at(self, moment: datetime) -> str:
        """Return the ``SessionStatus`` that this session has at ``moment``."""
        if self.completed_at is not None:
            return SessionStatus.COMPLETE
        return SessionStatus.EXPIRED if moment >= self.expires_at else SessionStatus.OPEN


class ConnectionStatus(models.TextChoices):
    """The states of a connection that the sandbox can produce."""

    ACTIVE = "active"
    FAILED = "failed"
    EXPIRED = "expired"
    REFRESH_FAILED = "refresh_failed"
    DISCONNECTED = "disconnected"


class SandboxConnection(models.Model):
    """A patient's connection to one facility; a failed one has no ``conn_id``."""

    conn_id = models.CharField(max_length=64, unique=True, null=True, blank=True)
    session = models.ForeignKey(
        SandboxSession, on_delete=models.CASCADE, related_name="connections"
    )
    patient = models.ForeignKey(
        SandboxPatient, to_field="patient_id", on_delete=models.CASCADE, related_name="connections"
    )
    connection_id = models.CharField(max_length=500)
    status = models.CharField(max_length=20, choices=ConnectionStatus.choices)
    failure_code = models.CharField(max_length=100, blank=True, default="")
    failure_at = models.DateTimeField(null=True, blank=True)
    scopes = models.JSONField(blank=True, default=list)
    records_total = models.PositiveIntegerField(default=0)
    records_synced_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.conn_id or f"failed sandbox connection {self.pk}"


class EndpointStatus(models.TextChoices):
    """The states of a webhook endpoint."""

    ACTIVE = "active"
    DISABLED = "disabled"


class SandboxWebhookEndpoint(models.Model):
    """A receiver of webhooks: an address, the types of events it asked for, and its secret."""

    endpoint_id = models.CharField(max_length=64, unique=True, default=new_endpoint_id)
    url = models.TextField()
    events = models.JSONField(default=list)
    status = models.CharField(
        max_length=20, choices=EndpointStatus.choices, default=EndpointStatus.ACTIVE
    )
    description = models.TextField(blank=True, default="")
    metadata = models.JSONField(blank=True, default=dict)
    secret = models.CharField(max_length=500, default=new_secret)
    settings_key = models.CharField(
        max_length=64,
        unique=True,
        null=True,
        blank=True,
        help_text="Which MEDBLOCKS_SANDBOX made it; empty where the API did.",
    )
    fails_deliveries = models.BooleanField(
        default=False, help_text="Let every delivery fail, as a receiver that is down."
    )
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.endpoint_id


class SandboxEvent(models.Model):
    """An event for one endpoint, or for none where nobody asked for it. It is kept for ever."""

    event_id = models.CharField(max_length=64, unique=True, default=new_event_id)
    endpoint = models.ForeignKey(
        SandboxWebhookEndpoint,
        on_delete=models.CASCADE,
        related_name="sandbox_events",
        null=True,
        blank=True,
    )
    type = models.CharField(max_length=100)
    payload = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)
    delivered_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(
        null=True, blank=True, help_text="Empty once delivered or given up."
    )
    last_status = models.PositiveIntegerField(
        null=True, blank=True, help_text="HTTP status of the last answer; empty when none came."
    )
    last_response_body = models.TextField(blank=True, default="")
    last_redelivered_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.event_id


class Operation(models.TextChoices):
    """The API's operations, as a fault names them."""

    CHECK_HEALTH = "check_health"
    SEARCH_CONNECTIONS = "search_connections"
    GET_CONNECTION = "get_connection"
    CREATE_PATIENT_SESSION = "create_patient_session"
    GET_PATIENT_SESSION = "get_patient_session"
    LIST_PATIENT_SESSIONS = "list_patient_sessions"
    GET_PATIENT = "get_patient"
    LIST_PATIENTS = "list_patients"
    DELETE_PATIENT = "delete_patient"
    LIST_RECORDS = "list_records"
    DISCONNECT = "disconnect"
    CREATE_WEBHOOK = "create_webhook"
    LIST_WEBHOOKS = "list_webhooks"
    GET_WEBHOOK = "get_webhook"
    UPDATE_WEBHOOK = "update_webhook"
    DELETE_WEBHOOK = "delete_webhook"
    ROTATE_WEBHOOK = "rotate_webhook"
    LIST_WEBHOOK_EVENTS = "list_webhook_events"
    REDELIVER_EVENT = "redeliver_event"


class SandboxFault(models.Model):
    """An error that the API will answer with, a given number of times."""

    operation = models.CharField(max_length=40, choices=Operation.choices)
    status = models.PositiveIntegerField()
    code = models.CharField(max_length=100)
    message = models.TextField(blank=True, default="")
    retry_after = models.PositiveIntegerField(null=True, blank=True, help_text="Seconds.")
    after_the_work = models.BooleanField(
        default=False, help_text="Do what was asked, and only then answer with the error."
    )
    remaining = models.PositiveIntegerField(default=1)

    def __str__(self) -> str:
        return f"{self.operation} answers {self.status} {self.code}"
