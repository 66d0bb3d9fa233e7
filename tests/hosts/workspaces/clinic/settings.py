"""A clinic with two workspaces of Medblocks in one database, as ``docs/tenants.md`` says."""

import environ

from clinic.workspaces import HOSTS

env = environ.Env()

DEBUG = False
SECRET_KEY = "only for tests"
ALLOWED_HOSTS = [*HOSTS]
ROOT_URLCONF = "clinic.urls"
STATIC_URL = "static/"
LOGIN_URL = "login"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES = {"default": env.db_url("DATABASE_URL")}
CACHES = {"default": env.cache_url("CACHE_URL", default="locmemcache://")}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "medblocks_connect",
]

MIDDLEWARE = [
    "clinic.workspaces.choose_workspace",
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

MEDBLOCKS_CONNECT = {
    "API_KEY": "clinic.workspaces.get_api_key",
    "WORKSPACE": "clinic.workspaces.get_workspace",
    "WEBHOOK_SECRETS": "clinic.workspaces.get_webhook_secrets",
}
MEDBLOCKS_CONNECT["BASE_URL"] = env("MEDBLOCKS_BASE_URL", default="https://app.medblocks.com")
