"""Tenants of one process and one database: the host name says which workspace is asked.

``TENANTS`` in the environment has each tenant's settings by its host name, as JSON.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from django.http import HttpRequest, HttpResponseBase

TENANTS: dict[str, dict[str, Any]] = json.loads(os.environ.get("TENANTS", "{}"))
_host: ContextVar[str] = ContextVar("host", default="")


def choose_tenant(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Let the host name of the request choose, until it is answered."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        token = _host.set(request.get_host())
        try:
            return get_response(request)
        finally:
            _host.reset(token)

    return middleware


def get_api_key() -> str:
    return TENANTS[_host.get()]["API_KEY"]


def get_workspace() -> str:
    return TENANTS[_host.get()]["WORKSPACE"]


def get_webhook_secrets() -> list[str]:
    return TENANTS[_host.get()]["WEBHOOK_SECRETS"]
