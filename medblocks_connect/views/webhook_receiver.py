"""Which deliveries are believed, and that none of them is lost: verify, store, settle.

Nothing is written before the signature holds, and nothing of an unsigned body is logged.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST

from medblocks_connect.api import InvalidSignatureError, clean_text, parse_time, verify
from medblocks_connect.api.json_fields import MAX_SHORT_ID_LENGTH
from medblocks_connect.attempts.webhook_deliveries import receive_delivery
from medblocks_connect.conf import conf
from medblocks_connect.models import WebhookDelivery
from medblocks_connect.timezones import storable
from medblocks_connect.views.decorators import stand_alone

logger = logging.getLogger("medblocks_connect.webhooks")

BODY_MAX_BYTES: Final = 1024 * 1024

# Medblocks' nest five deep. Deeper than Python's own limit, which each version sets elsewhere,
# nothing could show or process them.
_MAX_DEPTH: Final = 100

# Whoever holds a session's url can act as its patient, and nobody needs the rest to settle.
_NEVER_STORED: Final = ("url", "patient_email", "patient_name", "email", "name")


@csrf_exempt
@stand_alone
@require_POST
@sensitive_variables()
def webhook(request: HttpRequest) -> HttpResponse:
    """Take one signed event from Medblocks; 2xx once it is stored."""
    try:
        body = request.read(BODY_MAX_BYTES + 1)
    except UnreadablePostError:  # who sent it went away in the middle: no error of the site's
        return _refuse("The body did not arrive.")
    if len(body) > BODY_MAX_BYTES:
        return _refuse("The body is too large.", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    header = request.headers.get("Medblocks-Signature", "")
    try:
        verify(body, header, conf.webhook_secrets, now=time.time())
    except InvalidSignatureError as error:
        logger.warning("A webhook was refused: %s", error)
        return _refuse("The signature does not hold.")
    delivery = read_delivery(body)
    if delivery is None:
        return _refuse("The body is no JSON object.")
    receive_delivery(delivery)
    return HttpResponse(status=HTTPStatus.OK)


def read_delivery(body: bytes) -> WebhookDelivery | None:
    """Return the event in ``body``, not stored yet; None where it is no JSON object."""
    try:
        event = json.loads(body.decode())
        if not isinstance(event, dict) or _nests_too_deep(event):
            return None
        return _read_event(event, body)
    except (ValueError, RecursionError):
        return None


def _nests_too_deep(event: Any) -> bool:
    level = [event]
    for _ in range(_MAX_DEPTH):
        parents = [each for each in level if isinstance(each, dict | list)]
        level = [
            child
            for each in parents
            for child in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True


def _read_event(event: Mapping[str, Any], body: bytes) -> WebhookDelivery:
    data = event.get("data")
    about = data.get("object") if isinstance(data, dict) else None
    about = about if isinstance(about, dict) else {}
    kept = {name: value for name, value in about.items() if name not in _NEVER_STORED}
    event_type = clean_text(event.get("type"), 100)
    is_session = event_type == "patient_session.completed"
    is_connection = event_type.startswith("connection.")
    digest = hashlib.sha256(body).hexdigest()
    return WebhookDelivery(
        # An event without an id is itself: only the same bytes are the same event.
        event_id=_read_id(event.get("id")) or f"sha256:{digest}",
        event_type=event_type,
        api_version=clean_text(event.get("api_version"), 50),
        payload=json.dumps({**event, "data": {"object": kept}}),
        digest=digest,
        patient_session_id=_read_id(about.get("id")) if is_session else "",
        # The "id" of another type may be a patient's.
        patient_connection_id=_read_id(about.get("id")) if is_connection else "",
        occurred_at=storable(parse_time(event.get("created_at"))),
    )


def _read_id(value: object) -> str:
    """Return an id as it came; ``""`` for one that cleaning would change: it would name another."""
    cleaned = clean_text(value, MAX_SHORT_ID_LENGTH)
    return cleaned if cleaned == value else ""


def _refuse(reason: str, status: int = HTTPStatus.BAD_REQUEST) -> HttpResponse:
    return HttpResponse(reason, status=status, content_type="text/plain; charset=utf-8")
