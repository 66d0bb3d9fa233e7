"""Isolation: redirects, cookies, the environment and urllib3's logs have no part in a call."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import requests

from medblocks_connect.api import UnexpectedReplyError
from tests.api.conftest import HEALTHY, KEY, MakeClient, Serve, reply, reply_json
from tests.api.strict import session


@pytest.mark.parametrize(
    "status", [pytest.param(s, id=f"case-14-{s}") for s in (301, 302, 303, 307, 308, 304)]
)
def test_redirect_is_not_followed(serve: Serve, make_client: MakeClient, status: int) -> None:
    elsewhere = serve(HEALTHY)
    server = serve(reply(b"", f"{status} Moved", Location=f"{elsewhere.url}/health"))
    with pytest.raises(UnexpectedReplyError) as caught:
        make_client(server.url, max_retries=2).health()
    assert caught.value.status_code == status
    assert (len(server.requests), len(elsewhere.requests)) == (1, 0)


def test_cookie_is_not_kept(serve: Serve, make_client: MakeClient) -> None:
    server = serve(reply_json({"ok": True}, Set_Cookie="case14=1; Path=/"))
    client = make_client(server.url)
    client.health()
    client.health()
    assert len(server.requests) == 2
    assert not any("cookie" in request.headers for request in server.requests)


def test_netrc_and_proxies_of_the_environment_change_nothing(
    serve: Serve, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Case 13."""
    trap = serve(HEALTHY)
    server = serve(reply_json(session()))
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login thief password thief\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, trap.url)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, "/nonsense")
    make_client(server.url).patient_sessions.retrieve("ps_1")
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert trap.requests == []
    # The trap works: a plain session does fall into it.
    assert requests.get(server.url, timeout=5).status_code == 200
    assert len(trap.requests) == 1


def test_ca_bundle_of_the_environment_changes_nothing_over_tls(
    serve: Serve,
    make_client: MakeClient,
    trusted_certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Case 13."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonsense")
    assert make_client(serve(HEALTHY, certificate=trusted_certificate).url).health().ok


def test_urllib3_logs_nothing_of_a_call(
    serve: Serve, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = serve(reply_json({"id": "patient-77"}))
    make_client(server.url).patients.retrieve("patient-77")
    assert "patient-77" not in caplog.text
    assert {record.name for record in caplog.records} == {"medblocks_connect.api"}


def test_urllib3_still_logs_for_others(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    requests.get(serve(HEALTHY).url, timeout=5)
    assert any(record.name == "urllib3.connectionpool" for record in caplog.records)
