"""The recipe's site, for gunicorn: no database, no cache, the same middleware as the other host."""

from __future__ import annotations

from typing import Any


def make_application() -> Any:
    """Return the site, for gunicorn."""
    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY="only for the benchmark",
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF="benchmarks.load.recipe.urls",
        USE_TZ=True,
        INSTALLED_APPS=["benchmarks.load.recipe"],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
            }
        ],
    )
    django.setup()
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()
