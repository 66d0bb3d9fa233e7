"""A site of several clinics: each has a schema of its own, as ``docs/tenants.md`` says.

``DATABASE_URL`` names the database. The cache is the process's memory, which all clinics share and
nothing but our keys divides, unless ``CACHE_URL`` names another.
"""

import environ

env = environ.Env()

DEBUG = False
SECRET_KEY = "only for tests"
ALLOWED_HOSTS = [".localhost"]
ROOT_URLCONF = "clinics.urls"
PUBLIC_SCHEMA_URLCONF = "clinics.public_urls"
STATIC_URL = "static/"
LOGIN_URL = "login"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

DATABASES = {"default": env.db_url("DATABASE_URL")}
DATABASES["default"]["ENGINE"] = "django_tenants.postgresql_backend"
# A thread keeps its connection from one clinic's request to the next one's: the harder case.
DATABASES["default"]["CONN_MAX_AGE"] = None
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
CACHES = {"default": env.cache_url("CACHE_URL", default="locmemcache://")}

TENANT_MODEL = "clinics.Clinic"
TENANT_DOMAIN_MODEL = "clinics.Domain"
SHARED_APPS = ["django_tenants", "clinics"]
TENANT_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "medblocks_connect",
    "letters",
]
INSTALLED_APPS = [*SHARED_APPS, *TENANT_APPS]

MIDDLEWARE = [
    "django_tenants.middleware.main.TenantMainMiddleware",
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
    "API_KEY": "clinics.tenants.get_api_key",
    "WORKSPACE": "clinics.tenants.get_workspace",
    "WEBHOOK_SECRETS": "clinics.tenants.get_webhook_secrets",
    "BASE_URL": "clinics.tenants.get_base_url",
}
# For a whole day, so that no test has to mind when a window ends.
MEDBLOCKS_CONNECT["THROTTLES"] = {"start": "5/d"}
