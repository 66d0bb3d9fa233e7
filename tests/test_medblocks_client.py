"""Which client the app talks with."""

from __future__ import annotations

from pathlib import Path

import certifi
import pytest
from django.core.exceptions import ImproperlyConfigured

from medblocks_connect.api import MedblocksBusyError, ServerError
from medblocks_connect.api.gate import FAILURES_IN_A_ROW
from medblocks_connect.medblocks_client import (
    _CLIENTS_MAX,
    _read_settings,
    find_gate_state,
    get_client,
    get_command_client,
)


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
        ({"BASE_URL": "https://m.example", "PROXY": "https://proxy.example"}, "proxy"),
        ({"CA_BUNDLE": "/nowhere/ca.pem"}, "ca_bundle"),
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


def test_client_of_commands_is_kept_too_and_has_no_gate(settings):
    assert get_command_client() is get_command_client()
    assert get_command_client() is not get_client()
    assert get_command_client().gate is None


def test_seats_are_shared_by_all_keys_of_one_medblocks_and_a_gate_is_one_keys(settings):
    """The threads are the process's; a limit of the rate is a tenant's own."""

    def get_gate(number, **changes):
        settings.MEDBLOCKS_CONNECT = {
            **settings.MEDBLOCKS_CONNECT,
            "API_KEY": f"mb_sk_sbx_{number}",
            "MAX_WAITING": 1,
            **changes,
        }
        return get_client().gate

    one, other, elsewhere = get_gate(1), get_gate(2), get_gate(2, BASE_URL="https://m.example")
    with one.admit():
        with pytest.raises(MedblocksBusyError), other.admit():
            pass
        with elsewhere.admit():
            pass
    for _ in range(FAILURES_IN_A_ROW):
        with one.admit() as visit:
            visit.note_failure(ServerError(status_code=503), 1.0)
    assert one.state.is_closed
    assert not other.state.is_closed


def test_gate_state_is_that_of_the_settings_in_force(settings):
    assert find_gate_state() == get_client().gate.state
    assert find_gate_state().seats == 4
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "API_KEY": ""}
    assert find_gate_state() is None


def test_client_shows_no_key(settings):
    assert settings.MEDBLOCKS_CONNECT["API_KEY"] not in repr(get_client())


@pytest.mark.parametrize("get", [get_client, get_command_client])
def test_client_goes_by_the_proxy_and_trusts_the_file_of_the_settings(settings, get):
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "BASE_URL": "https://app.medblocks.com",
        "PROXY": "http://clinic:opensesame@proxy.example:3128",
        "CA_BUNDLE": Path(certifi.where()),
    }
    route = get().connections._transport._kept_connections._route
    assert route.proxies["https"] == "http://clinic:opensesame@proxy.example:3128"
    assert route.ca_bundle == certifi.where()
    assert "opensesame" not in repr(_read_settings())


def test_sandbox_on_this_machine_is_not_reached_by_the_proxy(settings):
    """It would be shown the key, and reach another machine."""
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "BASE_URL": "http://127.0.0.1:8000/medblocks-sandbox",
        "PROXY": "http://proxy.example:3128",
    }
    assert get_client().connections._transport._kept_connections._route.proxies == {}
