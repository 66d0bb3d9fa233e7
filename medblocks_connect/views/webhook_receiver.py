"""The webhook endpoint: a delivery is verified, stored and settled, and none is lost.

Nothing is written before the signature holds, and nothing of an unsigned body is logged. The host's
signal receivers run in the request's own thread and context, since these have the tenant, once the
answer has left.
"""

from __future__ import annotations

import logging
import time
from contextvars import copy_context
from http import HTTPStatus
from typing import Final

from django.http import HttpRequest, HttpResponse, UnreadablePostError

from medblocks_connect.api import InvalidSignatureError, verify
from medblocks_connect.attempts.webhook_deliveries import FollowUp, receive_delivery
from medblocks_connect.attempts.webhook_events import read_delivery
from medblocks_connect.conf import conf
from medblocks_connect.views.base import HostIndependentView

logger = logging.getLogger("medblocks_connect.webhooks")

BODY_MAX_BYTES: Final = 1024 * 1024


class WebhookView(HostIndependentView):
    """Take one signed event from Medblocks; 2xx once it is stored."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        """Verify, store and settle."""
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


def _refuse(reason: str, status: int = HTTPStatus.BAD_REQUEST) -> HttpResponse:
    return HttpResponse(reason, status=status, content_type="text/plain; charset=utf-8")
