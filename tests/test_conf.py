"""The search's settings: read as they are meant, and complained about where they are not."""

from __future__ import annotations

import pytest

from medblocks_connect.checks import check_settings
from medblocks_connect.conf import conf


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
    ],
)
def test_misuse_is_reported_with_its_mend(settings, key, value, number):
    configure(settings, **{key: value})
    (found,) = check_settings(None)
    assert found.id == f"medblocks_connect.{number}"
    assert key in found.msg
    assert found.hint
