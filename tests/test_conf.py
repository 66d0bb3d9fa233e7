"""The settings: read as they are meant, and complained about where they are not."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from medblocks_connect.checks import check_settings
from medblocks_connect.conf import (
    CALLABLE_SETTINGS,
    DEFAULTS,
    conf,
    find_workspace,
    is_dotted_path,
)


def configure(settings, **changes):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, **changes}


def test_defaults_ask_for_nothing():
    assert (conf.pinned_facilities, conf.facility_aliases) == ((), {})
    switches = (conf.request_notes, conf.requests_name_patient, conf.hosted_fallback)
    assert switches == (False, False, False)
    assert conf.catalog_max_age_days == 7


def test_alias_may_name_one_facility_or_several(settings):
    configure(settings, FACILITY_ALIASES={"the Brigham": "fhirsrc_1", "both": ["a", "b"]})
    assert conf.facility_aliases == {"the Brigham": ("fhirsrc_1",), "both": ("a", "b")}
    assert check_settings(None) == []


@pytest.mark.parametrize(
    ("key", "value", "number"),
    [
        ("CATALOG_MAX_AGE_DAYS", 0, "E020"),
        ("CATALOG_MAX_AGE_DAYS", "7", "E020"),
        ("PINNED_FACILITIES", "fhirsrc_1", "E021"),
        ("PINNED_FACILITIES", [1], "E021"),
        ("FACILITY_ALIASES", ["the Brigham"], "E022"),
        ("FACILITY_ALIASES", {"": "fhirsrc_1"}, "E022"),
        ("FACILITY_ALIASES", {"the Brigham": 7}, "E022"),
        ("REQUEST_NOTES", "yes", "E023"),
        ("REQUESTS_NAME_PATIENT", 1, "E023"),
        ("HOSTED_FALLBACK", None, "E023"),
        ("DEFER_SIGNALS", 1, "E028"),
    ],
)
def test_misuse_is_reported_with_its_mend(settings, key, value, number):
    configure(settings, **{key: value})
    (found,) = check_settings(None)
    assert found.id == f"medblocks_connect.{number}"
    assert key in found.msg
    assert found.hint


def return_list():
    return ["whsec_1", "whsec_2"]


def return_none():
    return None


def return_number():
    return 7


def return_numbers():
    return [7]


def return_label():
    return "north"


def return_sentence():
    return "north live"


def return_key():
    return "mb_sk_live_north"


CALLABLES = {
    name: f"{__name__}.{name}"
    for name in (
        "return_list",
        "return_none",
        "return_number",
        "return_numbers",
        "return_label",
        "return_sentence",
        "return_key",
    )
}


def test_callable_is_called_at_every_use(settings, monkeypatch):
    configure(settings, API_KEY=CALLABLES["return_key"])
    assert conf.api_key.reveal() == "mb_sk_live_north"
    monkeypatch.setattr(f"{__name__}.return_key", lambda: "mb_sk_live_south")
    assert conf.api_key.reveal() == "mb_sk_live_south"


def test_key_of_a_callable_shows_a_mask(settings):
    configure(settings, API_KEY=CALLABLES["return_key"])
    assert "north" not in f"{conf.api_key} {conf.api_key!r}"


def test_callable_may_return_several_secrets(settings):
    configure(settings, WEBHOOK_SECRETS=CALLABLES["return_list"])
    assert [secret.reveal() for secret in conf.webhook_secrets] == ["whsec_1", "whsec_2"]


@pytest.mark.parametrize("key", CALLABLE_SETTINGS)
def test_callable_without_an_answer_leaves_the_default(settings, key):
    configure(settings, **{key: CALLABLES["return_none"]})
    assert getattr(conf, key.lower()) == DEFAULTS[key]


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("API_KEY", CALLABLES["return_number"]),
        ("BASE_URL", CALLABLES["return_list"]),
        ("WEBHOOK_SECRETS", CALLABLES["return_numbers"]),
        # One text would be read as a list of its letters.
        ("WEBHOOK_SECRETS", CALLABLES["return_label"]),
        ("RETURN_URL", "clinic.nowhere.get_return_url"),
    ],
)
def test_callable_of_no_use_is_named(settings, key, path):
    configure(settings, **{key: path})
    with pytest.raises(ImproperlyConfigured, match=key):
        getattr(conf, key.lower())


@pytest.mark.parametrize("value", ["mb_sk_live_a.b", "https://clinic.example", "live-north"])
def test_value_is_no_dotted_path(value):
    assert not is_dotted_path(value)


def test_workspace_of_a_callable(settings):
    configure(settings, WORKSPACE=CALLABLES["return_label"])
    assert find_workspace() == "north"


@pytest.mark.parametrize(
    "changes",
    [
        {"WORKSPACE": CALLABLES["return_none"]},
        {"WORKSPACE": CALLABLES["return_sentence"]},
        {"API_KEY": CALLABLES["return_key"]},
    ],
)
def test_callable_without_a_label_is_no_workspace(settings, changes):
    """Two tenants with live keys would both be ``live``."""
    configure(settings, **changes)
    with pytest.raises(ImproperlyConfigured, match="WORKSPACE"):
        find_workspace()
