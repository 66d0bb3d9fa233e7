"""The whole journey over real HTTP: our site on one side, the sandbox on the other."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.django_db(transaction=True)


def test_flow_approve(site, get_attempt):
    portal = site.start("fhirsrc_riverside_general")
    assert portal.status_code == 303
    back = site.decide(portal.headers["Location"], "approve")
    outcome = site.get_absolute(back.headers["Location"])
    attempt = get_attempt()
    assert (attempt.status, attempt.unconfirmed) == ("succeeded", False)
    assert "You are connected" in outcome.text
    assert outcome.url == f"{site.url}/records/attempts/{attempt.public_id}/"
