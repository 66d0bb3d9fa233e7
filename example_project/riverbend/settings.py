"""Settings of the Riverbend Clinic: those that the environment sets, and those for everywhere.

Every name that the environment may set is in ``example_project/.env.example``.
"""

from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import environ

PROJECT = Path(__file__).resolve().parent.parent

env = environ.Env()
if (PROJECT / ".env").is_file():
    env.read_env(PROJECT / ".env")

MEDBLOCKS_API_KEY = env.str("MEDBLOCKS_API_KEY", default="")

# A live key means real patients: then nothing of the development mode, unless asked for.
DEBUG = env.bool("DEBUG", default=not MEDBLOCKS_API_KEY.startswith("mb_sk_live_"))
USES_SANDBOX = DEBUG and not MEDBLOCKS_API_KEY

if DEBUG:
    SECRET_KEY = env.str("SECRET_KEY", default="only for development, and known to everybody")
    ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"])
else:
    SECRET_KEY = env.str("SECRET_KEY")
    ALLOWED_HOSTS = env.list("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "riverbend",  # before medblocks_connect: its base.html replaces the app's
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "medblocks_connect",
]
if USES_SANDBOX:
    INSTALLED_APPS += ["medblocks_connect.sandbox"]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "riverbend.middleware.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
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

ROOT_URLCONF = "riverbend.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-us"
LANGUAGES = [("en", "English"), ("es", "Español")]
TIME_ZONE = "UTC"
USE_TZ = True

LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "account"
LOGOUT_REDIRECT_URL = "home"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

STATIC_URL = "static/"
STATIC_ROOT = PROJECT / "collected-static"

_database: dict[str, Any] = env.db_url(
    "DATABASE_URL", default=f"sqlite:///{PROJECT / 'riverbend.sqlite3'}"
)
_database["ATOMIC_REQUESTS"] = True
if _database["ENGINE"] == "django.db.backends.sqlite3":
    # With ATOMIC_REQUESTS every view is a transaction that reads before it writes: SQLite lets
    # several at once do so only where each one asks for the write lock at its beginning.
    _database.setdefault("OPTIONS", {}).update(
        transaction_mode="IMMEDIATE", timeout=20, init_command="PRAGMA journal_mode=WAL"
    )
DATABASES = {"default": _database}
CACHES = {"default": env.cache_url("CACHE_URL", default="locmemcache://")}

if not DEBUG:
    SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
    SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", default=True)
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    # Preloading is a promise for the whole domain, which only its owner can make.
    SILENCED_SYSTEM_CHECKS = ["security.W021"]
    if env.bool("BEHIND_HTTPS_PROXY", default=False):
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

MEDBLOCKS_CONNECT: dict[str, Any] = {
    "API_KEY": MEDBLOCKS_API_KEY,
    "PATIENT_RESOLVER": "riverbend.patients.find_patient",
    "WEBHOOK_SECRETS": env.list("MEDBLOCKS_WEBHOOK_SECRET", default=[]),
    "SITE_URL": env.str("MEDBLOCKS_SITE_URL", default=""),
    "CONFIRM_BEFORE_PORTAL": env.bool("MEDBLOCKS_CONFIRM_BEFORE_PORTAL", default=False),
    "CONTACT_URL": "tel:+15550142",  # the front desk
    "PROXY": env.str("MEDBLOCKS_PROXY", default=""),
    "CA_BUNDLE": env.str("MEDBLOCKS_CA_BUNDLE", default=""),
}
if "MEDBLOCKS_BASE_URL" in env:
    MEDBLOCKS_CONNECT["BASE_URL"] = env.str("MEDBLOCKS_BASE_URL")

if USES_SANDBOX:
    MEDBLOCKS_CONNECT.setdefault("BASE_URL", "http://127.0.0.1:8000/medblocks-sandbox")
    MEDBLOCKS_CONNECT["API_KEY"] = "mb_sk_sbx_riverbend"
    MEDBLOCKS_CONNECT["WEBHOOK_SECRETS"] = ["whsec_riverbend"]
    MEDBLOCKS_SANDBOX = {
        "WEBHOOK_URL": urljoin(MEDBLOCKS_CONNECT["BASE_URL"], "/records/webhook/"),
        "WEBHOOK_SECRET": "whsec_riverbend",
    }
