"""The host project that the tests run in: a plain Django site with the app and the sandbox.

The database is SQLite unless ``DATABASE_URL`` names another, the cache is in memory unless
``CACHE_URL`` does (both in django-environ's form).
"""

import os
import shutil
import tempfile
from pathlib import Path

import environ

env = environ.Env()

# Playwright's synchronous API keeps an event loop in the test's thread, which Django would
# otherwise take for an asynchronous context and refuse its database in.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

DEBUG = True  # the sandbox refuses to run without it
SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"
LOGIN_URL = "/accounts/login/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "medblocks_connect",
    "medblocks_connect.sandbox",
]

MIDDLEWARE = [
    # Here and not in a fixture: a live server keeps the middleware that it started with.
    "tests.pages.strict.collect_reports",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "pages" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# On a disk of memory where there is room on one: it locks alike, and nobody waits for a real disk.
_memory = Path("/dev/shm")
_has_room = os.access(_memory, os.W_OK) and shutil.disk_usage(_memory).free > 2**30  # bytes
_directory = _memory if _has_room else Path(tempfile.gettempdir())
_database_file = _directory / f"medblocks-connect-tests-{os.getpid()}.sqlite3"
DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{_database_file}")}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, as a site has it: an in-memory database is shared by the threads of a live server
    # through one connection, which would hide every lock.
    DATABASES["default"]["TEST"] = {"NAME": str(_database_file)}
CACHES = {"default": env.cache_url("CACHE_URL", default="locmemcache://")}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

MEDBLOCKS_CONNECT = {
    "API_KEY": "mb_sk_sbx_only_for_tests",
    "BASE_URL": "http://127.0.0.1:9",  # nothing listens there: a test names its own server
}
