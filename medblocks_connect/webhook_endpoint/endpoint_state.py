"""The state of our endpoint as this site knows it: looked at seldom, kept, told once it stops.

Medblocks disables an endpoint after nine failed deliveries without a word ("Webhooks" on the API
page): its ``status`` is all that says so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Final
from urllib.parse import urlsplit

from django.db import router, transaction
from django.urls import NoReverseMatch, reverse

from medblocks_connect import signals
from medblocks_connect.api import MedblocksClient, PermissionDeniedError, WebhookEndpoint
from medblocks_connect.attempts.operation_runs import (
    Name,
    claim_run,
    read_moment,
    read_state,
    write_moment,
    write_state,
)
from medblocks_connect.attempts.outbox import owe_signals, send_after_commit
from medblocks_connect.conf import conf
from medblocks_connect.models import OperationRun

logger = logging.getLogger("medblocks_connect.webhooks")

ACTIVE: Final = "active"
DISABLED: Final = "disabled"
MISSING: Final = "missing"
FORBIDDEN: Final = "forbidden"
"""The API key may not read endpoints."""
UNKNOWN: Final = "unknown"
"""No address of ours is known, and no single endpoint has our path."""

LOOK_INTERVAL: Final = timedelta(hours=1)

_MAX_ENDPOINTS: Final = 500
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True)
class EndpointState:
    """Our endpoint when it was looked at last; ``status`` is ``""`` where it never was.

    ``stopped_since`` is when Medblocks stopped sending, as far as is known; ``active_at`` when the
    endpoint was seen active last.
    """

    status: str = ""
    endpoint_id: str = ""
    url: str = ""
    stopped_since: datetime | None = None
    active_at: datetime | None = None

    @property
    def is_active(self) -> bool:
        """Return whether Medblocks sends."""
        return self.status == ACTIVE

    @property
    def is_stopped(self) -> bool:
        """Return whether Medblocks sends nothing any more, though this site listens."""
        return self.status in {DISABLED, MISSING}


def read_endpoint_state() -> EndpointState:
    """Return what is known of our endpoint; nothing where the site uses no webhooks."""
    return read_kept_state() if conf.webhook_secrets else EndpointState()


def read_kept_state() -> EndpointState:
    """Return what is kept of our endpoint, also before its secret is in the settings."""
    kept = read_state(Name.LOOK_AT_ENDPOINT)
    return EndpointState(
        status=str(kept.get("status", "")),
        endpoint_id=str(kept.get("endpoint_id", "")),
        url=str(kept.get("url", "")),
        stopped_since=read_moment(kept.get("stopped_since")),
        active_at=read_moment(kept.get("active_at")),
    )


def look_at_endpoint(client: MedblocksClient) -> EndpointState:
    """Return the state of our endpoint, asked for at Medblocks once an hour.

    Logs an error where it has stopped, and sends ``webhooks_stopped`` once for each stop. Raises
    ``MedblocksError`` where Medblocks did not tell.
    """
    before = read_endpoint_state()
    if not conf.webhook_secrets or not claim_run(Name.LOOK_AT_ENDPOINT, LOOK_INTERVAL):
        return before
    try:
        endpoints = list_endpoints(client)
    except PermissionDeniedError:
        return _keep(before, replace(before, status=FORBIDDEN, stopped_since=None))
    endpoint = find_own_endpoint(endpoints, before.url)
    if endpoint is not None:
        return note_endpoint(endpoint, before)
    url = build_webhook_url() or before.url
    now = datetime.now(timezone.utc)
    since = before.stopped_since or before.active_at or now
    after = EndpointState(MISSING, "", url, since, before.active_at)
    return _keep(before, after if url else EndpointState(UNKNOWN))


def note_endpoint(endpoint: WebhookEndpoint, before: EndpointState) -> EndpointState:
    """Keep what Medblocks says of our endpoint, and tell where it has stopped since ``before``."""
    after = EndpointState(endpoint.status, endpoint.id, endpoint.url, active_at=before.active_at)
    now = datetime.now(timezone.utc)
    if after.is_stopped:
        same = before.stopped_since if before.is_stopped else None
        after = replace(after, stopped_since=same or endpoint.updated_at or now)
    elif after.is_active:
        after = replace(after, active_at=now)
    return _keep(before, after)


def list_endpoints(client: MedblocksClient) -> list[WebhookEndpoint]:
    """Return the workspace's endpoints, ours or not. Raises ``MedblocksError``."""
    return list(islice(client.webhook_endpoints.iterate(), _MAX_ENDPOINTS))


def find_own_endpoint(
    endpoints: Iterable[WebhookEndpoint], known_url: str = ""
) -> WebhookEndpoint | None:
    """Return ours of ``endpoints``, an active one first; None where there is none.

    It is at the address that ``SITE_URL`` gives, or at ``known_url``. Where neither is known, it is
    the only one whose path is our webhook view's.
    """
    kept = list(endpoints)
    wanted = {normalize_url(url) for url in (build_webhook_url(), known_url) if url}
    if wanted:
        own = [endpoint for endpoint in kept if normalize_url(endpoint.url) in wanted]
        return min(own, key=lambda endpoint: endpoint.status != ACTIVE, default=None)
    path = _find_webhook_path().rstrip("/")
    alike = [endpoint for endpoint in kept if path and read_path(endpoint.url) == path]
    return alike[0] if len(alike) == 1 else None


def build_webhook_url(site_url: str = "") -> str:
    """Return the webhook view's address at ``site_url``, else at ``SITE_URL``; ``""`` without."""
    site, path = site_url or conf.site_url, _find_webhook_path()
    return f"{site.rstrip('/')}{path}" if site and path else ""


def normalize_url(url: str) -> str:
    """Return ``url`` in a form that all spellings of one address share."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return url
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.hostname}:{port}{parts.path.rstrip('/')}{query}"


def _find_webhook_path() -> str:
    try:
        return reverse("medblocks_connect:webhook")
    except NoReverseMatch:  # the host routes to a view of its own
        return ""


def read_path(url: str) -> str:
    """Return the path of ``url`` without slashes at its end; ``""`` for what is no URL."""
    try:
        return urlsplit(url).path.rstrip("/")
    except ValueError:
        return ""


def _keep(before: EndpointState, after: EndpointState) -> EndpointState:
    """Keep ``after``; a stop is told in the transaction that keeps it."""
    database = router.db_for_write(OperationRun)
    with transaction.atomic(using=database):
        write_state(
            Name.LOOK_AT_ENDPOINT,
            {
                "status": after.status,
                "endpoint_id": after.endpoint_id,
                "url": after.url,
                "stopped_since": write_moment(after.stopped_since),
                "active_at": write_moment(after.active_at),
            },
        )
        if after.is_stopped and not before.is_stopped:
            told = {"status": after.status, "since": write_moment(after.stopped_since)}
            owed = owe_signals({signals.webhooks_stopped: told}, database)
            send_after_commit(owed, database)
    if after.is_stopped:
        logger.error(
            "Medblocks has stopped sending webhooks since %s: the endpoint is %s",
            write_moment(after.stopped_since),
            after.status,
        )
    return after
