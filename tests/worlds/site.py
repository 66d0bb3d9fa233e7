"""A host site as a process: ``python -m tests.worlds.site`` prints where it listens, and serves.

The environment says what kind of site: ``DATABASE`` is a SQLite file, ``CACHE`` the URL of a Redis,
which gets no prefix, or ``locmem``; ``MEDBLOCKS_CONNECT`` are the app's settings as JSON. The
patient is user 1, another one user 3, and staff user 2.
"""

from __future__ import annotations

import json
import os
import sys
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

from tests import settings as ordinary

USERS = {"patient": 1, "staff": 2, "other": 3}
CACHES = {
    "locmem": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "redis": {"BACKEND": "django.core.cache.backends.redis.RedisCache"},
}


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing: standard output is for the address."""


def configure() -> None:
    base = {name: getattr(ordinary, name) for name in dir(ordinary) if name.isupper()}
    cache = os.environ["CACHE"]
    redis = {**CACHES["redis"], "LOCATION": cache}
    ours = {
        "DEBUG": False,
        "ALLOWED_HOSTS": ["*"],
        "ROOT_URLCONF": "tests.worlds.urls",
        "INSTALLED_APPS": [
            name for name in base["INSTALLED_APPS"] if name != "medblocks_connect.sandbox"
        ],
        # Before all others, as whatever finds a site's tenant is.
        "MIDDLEWARE": ["tests.worlds.tenants.choose_tenant", *base["MIDDLEWARE"][1:]],
        "MESSAGE_STORAGE": "django.contrib.messages.storage.session.SessionStorage",
        "DATABASES": {
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": os.environ["DATABASE"],
                "OPTIONS": {
                    "timeout": 20,
                    "init_command": "PRAGMA synchronous=OFF",
                    "transaction_mode": "IMMEDIATE",
                },
            }
        },
        "CACHES": {"default": CACHES["locmem"] if cache == "locmem" else redis},
        "MEDBLOCKS_CONNECT": json.loads(os.environ["MEDBLOCKS_CONNECT"]),
    }
    settings.configure(**{**base, **ours})
    django.setup()


def sign_in_everybody() -> dict[str, str]:
    """Make the users where they are not there yet; return a session of each."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    sessions = {}
    for name, key in USERS.items():
        is_staff = name == "staff"
        user, _is_new = get_user_model().objects.get_or_create(
            pk=key, username=name, is_staff=is_staff, is_superuser=is_staff
        )
        client = Client()
        client.force_login(user)
        sessions[name] = client.cookies["sessionid"].value
    return sessions


def tell(about: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(about) + "\n")
    sys.stdout.flush()


def main() -> None:
    configure()
    if "prepare" in sys.argv:
        call_command("migrate", verbosity=0)
        return
    server = make_server(
        "127.0.0.1", 0, get_wsgi_application(), server_class=Server, handler_class=QuietHandler
    )
    tell({"port": server.server_port, "sessions": sign_in_everybody()})
    server.serve_forever()


if __name__ == "__main__":
    main()
