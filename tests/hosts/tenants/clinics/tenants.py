"""What Medblocks is for the clinic of the request, or of the command."""

from django.db import connection


def get_api_key():
    return connection.tenant.medblocks_api_key


def get_workspace():
    return connection.tenant.medblocks_workspace


def get_webhook_secrets():
    return [connection.tenant.medblocks_webhook_secret]


def get_base_url():
    return connection.tenant.medblocks_base_url or None
