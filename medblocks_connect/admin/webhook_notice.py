"""The overview's error where Medblocks has stopped sending webhooks, and the button that mends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.utils.translation import gettext as _

from medblocks_connect.admin.audit_log import log_endpoint_enabled
from medblocks_connect.api import MedblocksError
from medblocks_connect.medblocks_client import get_client
from medblocks_connect.webhook_endpoint.endpoint_state import DISABLED, read_endpoint_state
from medblocks_connect.webhook_endpoint.registration import enable_endpoint

ENABLE_PERMISSION: Final = "medblocks_connect.enable_webhook_endpoint"


@dataclass(frozen=True)
class WebhookNotice:
    """Webhooks have stopped ``since`` then; whether the endpoint is disabled, else it is gone."""

    since: datetime | None
    is_disabled: bool
    may_enable: bool


def find_webhook_notice(request: HttpRequest) -> WebhookNotice | None:
    """Return what staff have to know of the webhook endpoint; None while it is well."""
    state = read_endpoint_state()
    if not state.is_stopped:
        return None
    is_disabled = state.status == DISABLED
    may_enable = is_disabled and request.user.has_perm(ENABLE_PERMISSION)
    return WebhookNotice(state.stopped_since, is_disabled, may_enable)


def enable_webhooks(request: HttpRequest) -> HttpResponseRedirect:
    """Have Medblocks send webhooks again, and show the overview."""
    state = read_endpoint_state()
    if state.status == DISABLED:
        _enable(request, state.endpoint_id)
    else:
        messages.info(request, _("The webhook endpoint is not disabled. Nothing was done."))
    return HttpResponseRedirect("../")  # on the same admin site, of several


def _enable(request: HttpRequest, endpoint_id: str) -> None:
    log_endpoint_enabled(request, endpoint_id)
    try:
        endpoint = enable_endpoint(get_client(), endpoint_id)
    except MedblocksError as error:
        if error.is_unanswered:
            text = _("Medblocks did not answer: it may be enabled or not. Try again in a minute.")
        else:
            text = _("Medblocks did not enable it, but said %(code)s.") % {"code": error.code}
        messages.error(request, text)
        return
    if endpoint.status == DISABLED:
        messages.error(request, _("Medblocks says that it is disabled still."))
    else:
        text = _("Medblocks sends webhooks again. What was missed is fetched with the next run.")
        messages.success(request, text)
