"""Which of the clinic's two workspaces is meant: by the request's host, or by the environment."""

import os
from contextvars import ContextVar

HOSTS = {"adults.localhost": "adults", "children.localhost": "children"}

_workspace = ContextVar("workspace", default="")


def choose_workspace(get_response):
    def middleware(request):
        host = request.get_host().partition(":")[0]
        # Never taken back: the receivers of a webhook's signals run once this has returned.
        _workspace.set(HOSTS[host])
        return get_response(request)

    return middleware


def get_workspace():
    return _workspace.get() or os.environ["MEDBLOCKS_WORKSPACE"]


def get_api_key():
    return os.environ[f"MEDBLOCKS_API_KEY_{get_workspace().upper()}"]


def get_webhook_secrets():
    return [os.environ[f"MEDBLOCKS_WEBHOOK_SECRET_{get_workspace().upper()}"]]
