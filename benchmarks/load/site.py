"""The host of the load test: a plain Django site with the app, for gunicorn and for commands.

The environment chooses the database (``LOAD_DATABASE``, JSON), the cache (``LOAD_REDIS``, a URL;
empty for Django's default) and the stand-in for Medblocks (``LOAD_MEDBLOCKS``). A header names the
patient, in place of a login. Both throttles are on, at their defaults: each patient is another.
"""

from __future__ import annotations

import json
import os
from typing import Any

from benchmarks.load.medblocks import SECRET

PATIENT_HEADER = "X-Patient"


def name_patient(request: Any) -> Any:
    """Take the patient from the header."""
    from medblocks_connect.patients import Patient

    patient = request.headers.get(PATIENT_HEADER)
    return Patient(patient) if patient else None


def choose_cache() -> dict[str, Any]:
    url = os.environ.get("LOAD_REDIS", "")
    if not url:
        return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    return {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": url,
        "KEY_PREFIX": os.environ["LOAD_PREFIX"],
    }


def configure() -> None:
    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY="only for the benchmark",
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF="benchmarks.load.urls",
        USE_TZ=True,
        DATABASES={"default": json.loads(os.environ["LOAD_DATABASE"])},
        CACHES={"default": choose_cache()},
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "medblocks_connect",
            "benchmarks.load.heard",
        ],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
        ],
        STATIC_URL="static/",
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
            }
        ],
        LOGGING={
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"console": {"class": "logging.StreamHandler"}},
            "loggers": {"django.request": {"handlers": ["console"], "level": "ERROR"}},
        },
        MEDBLOCKS_CONNECT={
            "API_KEY": "mb_sk_sbx_load_test",
            "BASE_URL": os.environ["LOAD_MEDBLOCKS"],
            "WEBHOOK_SECRETS": [SECRET],
            "PATIENT_RESOLVER": "benchmarks.load.site.name_patient",
            "DEFER_SIGNALS": os.environ.get("LOAD_DEFERS") == "yes",
            "THROTTLES": {"search": "120/m", "start": "20/m"},
        },
    )
    django.setup()


def make_application() -> Any:
    """Return the site, for gunicorn."""
    configure()
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()
