"""The webhook endpoint: a delivery is verified, stored and settled, and none is lost.

Nothing is written before the signature holds, and nothing of an unsigned body is logged; without a
signature the body is not even read. The host's signal receivers run in the request's own thread and
context, since these have the tenant, once the answer has left.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from contextvars import copy_context
from http import HTTPStatus
from typing import Any, Final

from django.db import Error as AnyDatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from medblocks_connect.api import InvalidSignatureError, verify
from medblocks_connect.attempts.webhook_deliveries import FollowUp, receive_delivery
from medblocks_connect.attempts.webhook_events import read_delivery
from medblocks_connect.conf import conf
from medblocks_connect.views.base import HostIndependentView
from medblocks_connect.views.database_outage import is_outage, name_database_error
from medblocks_connect.views.requests import BodyRefusedError, read_body
from medblocks_connect.views.responses import report_unavailable

logger = logging.getLogger("medblocks_connect.webhooks")

BODY_MAX_BYTES: Final = 1024 * 1024

REFUSALS_LOGGED_EVERY: Final = 60.0
"""Seconds between two lines of the log about one reason to refuse, in each process."""


class RefusalLog:
    """Logs why webhooks are refused: the first at once, then a minute's worth in one line.

    Anybody may send any number of them, and each process of a server counts its own. Refusals after
    which none of that reason comes are in no line.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Begin anew, with nothing logged."""
        self._unlogged: Counter[str] = Counter()
        self._logged_at: dict[str, float] = {}  # by reason, on time.monotonic's clock

    def note(self, reason: str) -> None:
        """Count one refusal for ``reason``, one of ``InvalidSignatureError``'s fixed words."""
        with self._lock:
            self._unlogged[reason] += 1
            now = time.monotonic()
            if now - self._logged_at.get(reason, -REFUSALS_LOGGED_EVERY) < REFUSALS_LOGGED_EVERY:
                return
            self._logged_at[reason] = now
            count = self._unlogged.pop(reason)
        logger.warning("Webhooks were refused: %s, %d since the last such line", reason, count)


refusal_log: Final = RefusalLog()


class WebhookView(HostIndependentView):
    """Take one signed event from Medblocks; 2xx once it is stored."""

    http_method_names = ["post"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer; 503 where the database is away, full or read-only: Medblocks sends it again."""
        try:
            return super().dispatch(request, *args, **kwargs)
        except AnyDatabaseError as error:
            if not is_outage(error):
                raise
            answer = _refuse("It could not be stored.", HTTPStatus.SERVICE_UNAVAILABLE)
            what = "A webhook could not be stored"
            return report_unavailable(answer, what, name_database_error(error), logging.ERROR)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Verify, store and settle."""
        header = request.headers.get("Medblocks-Signature", "")
        if not header:
            return _refuse_unbelieved("There is no signature.", "missing")
        try:
            body = read_body(request, BODY_MAX_BYTES)
        except BodyRefusedError as error:
            return _refuse(str(error), error.status)
        try:
            verify(body, header, conf.webhook_secrets, now=time.time())
        except InvalidSignatureError as error:
            return _refuse_unbelieved("The signature does not hold.", error.reason)
        delivery = read_delivery(body)
        if delivery is None:
            return _refuse("The body is no JSON object.")
        return _AcceptedResponse(receive_delivery(delivery))


class _AcceptedResponse(HttpResponse):
    """The answer to a stored event; ``follow_up`` is called once the server has sent it.

    A server closes each response when its body has left (PEP 3333, "close()"; Django's ASGI
    handler does as well).
    """

    def __init__(self, follow_up: FollowUp) -> None:
        # Its length is told: whoever waits for it need not wait for the end of the connection.
        super().__init__(status=HTTPStatus.OK, headers={"Content-Length": "0"})
        self._follow_up = follow_up
        # The host's middleware has put away by then what it set up: who the tenant is, for one.
        self._context = copy_context()

    def close(self) -> None:
        """Follow up, then close."""
        try:
            self._context.run(self._follow_up)
        finally:
            super().close()


def _refuse_unbelieved(text: str, reason: str) -> HttpResponse:
    refusal_log.note(reason)
    response = _refuse(text)
    # Django's own note that a response is in the log: it would write one line for each.
    response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001
    return response


def _refuse(reason: str, status: int = HTTPStatus.BAD_REQUEST) -> HttpResponse:
    return HttpResponse(reason, status=status, content_type="text/plain; charset=utf-8")
