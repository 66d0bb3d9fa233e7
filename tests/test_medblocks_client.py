"""Which client the app talks with."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from medblocks_connect.medblocks_client import _CLIENTS_MAX, get_client


def test_client_is_kept_between_calls(settings):
    assert get_client() is get_client()


def test_client_follows_the_settings(settings):
    before = get_client()
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "MAX_RETRIES": 0}
    assert get_client() is not before


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"API_KEY": ""}, "api_key"),
        ({"BASE_URL": "app.medblocks.com"}, "BASE_URL"),
        ({"BASE_URL": "http://app.medblocks.com"}, "BASE_URL"),
    ],
)
def test_client_of_settings_that_cannot_work_names_the_mend(settings, changes, named):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, **changes}
    with pytest.raises(ImproperlyConfigured, match=named):
        get_client()


def test_client_of_each_key_is_kept_and_the_idlest_dropped(settings):
    """As many tenants as are kept, each in turn, open no new connections."""

    def use(number):
        settings.MEDBLOCKS_CONNECT = {
            **settings.MEDBLOCKS_CONNECT,
            "API_KEY": f"mb_sk_sbx_{number}",
        }
        return get_client()

    first = [use(number) for number in range(_CLIENTS_MAX)]
    assert [use(number) for number in range(_CLIENTS_MAX)] == first
    use(_CLIENTS_MAX)
    assert use(1) is first[1]
    assert use(0) is not first[0]


def test_client_shows_no_key(settings):
    assert settings.MEDBLOCKS_CONNECT["API_KEY"] not in repr(get_client())
