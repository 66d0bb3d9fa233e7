"""5,000 requests that nobody in their right mind would send: none of them is a 5xx.

They go through the WSGI handler itself, with bytes where a server has bytes. Every URL of the app
is in it, those that are added later too. Only where the app is not asked (another host, an address
that does not resolve) is the answer Django's own.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import re
from collections import Counter, defaultdict
from typing import Any
from urllib.parse import quote_from_bytes, urlencode

import pytest
import responses
from django.core.exceptions import BadRequest, DisallowedHost
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection
from django.urls import Resolver404, resolve
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from medblocks_connect.conf import DEFAULTS
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.urls import urlpatterns
from tests.faults.clinic import BASE_URL, SETTINGS
from tests.faults.events import sign_now

# Fewer in ``make test``; CI sends all of them, whatever databases and versions it has.
MANY = 5000
REQUESTS = int(os.environ.get("FUZZ_REQUESTS", MANY))
ROUTES = sorted({str(each.pattern) for each in urlpatterns})
POSTED_TO = re.compile("start|webhook|patient-sessions|disconnect|not-found/$")
FITTING = "the method that the view is for"
PUBLIC_ID, SESSION_ID, LINK_ID = "known-attempt", "ps_known", "conn_known"
TOKEN = "c" * 32
DONE = defaultdict(tuple, GET=(200, 303), POST=(200, 303))

odd_bytes = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [
            b"",
            b"\x00",
            b"\xff\xfe",
            b"\xed\xa0\x80",
            b"\xf0\x9f\x8f\xa5",
            b"../../etc",
            b"a\r\nX: y",
            b"%00",
            b"'\"<>",
            b"\xe2\x80\xae",
            b"9" * 400,
            b"x" * 3000,
        ]
    ),
)
known = st.sampled_from(
    [PUBLIC_ID, SESSION_ID, "true", "false", "fhirsrc_1", "user_denied", "https://a.example/fhir"]
)
text = st.one_of(known, st.text(max_size=20), odd_bytes)
names = st.one_of(
    st.sampled_from(
        [
            "q",
            "type",
            "starting_after",
            "connection_id",
            "patient_id",
            "patient_session_id",
            "success",
            "error",
            "error_description",
            "next",
            "page",
            "state",
            "text",
            "note",
            "shown",
            "connection",
            "confirmed",
        ]
    ),
    st.text(max_size=5),
)
fields = st.lists(st.tuples(names, text), max_size=4)
json_value = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), known),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=6,
)
moments = st.sampled_from([None, "2026-01-01T00:00:00Z", "soon", 7, "9999-12-31T23:59:59-12:00"])
session = st.fixed_dictionaries(
    {"id": st.one_of(st.just(SESSION_ID), json_value)},
    optional={
        "patient_id": st.one_of(st.just("1"), json_value),
        "status": st.sampled_from(["open", "complete", "expired", "new", 3]),
        "url": text.map(str),
        "expires_at": moments,
        "connections": st.one_of(
            json_value,
            st.lists(
                st.fixed_dictionaries(
                    {
                        "connection_id": st.sampled_from(["fhirsrc_1", "other", None]),
                        "id": st.sampled_from(["conn_1", None, "\x00", 5]),
                        "status": st.sampled_from(["active", "failed", "odd", "disconnected"]),
                        "failure_code": st.one_of(st.none(), st.text(max_size=200)),
                        "failure_at": moments,
                    }
                ),
                max_size=2,
            ),
        ),
    },
)
event = st.fixed_dictionaries(
    {"id": st.one_of(st.integers(0, 50).map("evt_{}".format), json_value)},
    optional={
        "type": st.one_of(
            st.sampled_from(
                [
                    "patient_session.completed",
                    "connection.token_refresh_failed",
                    "records.sync.completed",
                    "records.sync.failed",
                ]
            ),
            json_value,
        ),
        "created_at": st.one_of(moments, json_value),
        "data": st.one_of(json_value, st.fixed_dictionaries({"object": session | json_value})),
    },
)
json_bytes = st.one_of(
    event.map(lambda value: json.dumps(value).encode()),
    json_value.map(lambda value: json.dumps(value).encode()),
    st.sampled_from([b"[" * 3000, b'{"connection_id": "fhirsrc_1"}', b"NaN", b"9" * 5000]),
)
chosen = fields.map(lambda pairs: [("connection_id", "fhirsrc_1"), *pairs])
form_bytes = st.one_of(fields, chosen).map(lambda pairs: encode(pairs).encode())
returned = fields.map(lambda pairs: [("patient_session_id", SESSION_ID), *pairs])
cut = fields.map(lambda pairs: [("connection", LINK_ID), *pairs])
multipart = odd_bytes.map(lambda part: b'--b\r\nContent-Disposition: form-data; name="' + part)
body = st.one_of(form_bytes, form_bytes, json_bytes, json_bytes, multipart, odd_bytes)
content_types = st.sampled_from(
    [
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=utf-8",
        # Django refuses it, by an error that its own page for errors raises anew.
        "application/x-www-form-urlencoded; charset=utf-16",
        "application/x-www-form-urlencoded; charset=nonsense",
        "application/json",
        "application/json; charset=nonsense",
        "multipart/form-data; boundary=b",
        "multipart/form-data",
        "text/plain",
        "",
        "\xff/\x00",
    ]
)
headers = st.dictionaries(
    st.sampled_from(
        [
            "HTTP_HOST",
            "HTTP_ACCEPT_LANGUAGE",
            "HTTP_ACCEPT",
            "HTTP_X_MEDBLOCKS_FRAGMENT",
            "HTTP_SEC_PURPOSE",
            "HTTP_REFERER",
            "HTTP_ORIGIN",
            "HTTP_CONTENT_ENCODING",
            "HTTP_X_FORWARDED_FOR",
            "HTTP_MEDBLOCKS_SIGNATURE",
            "HTTP_IF_MODIFIED_SINCE",
            "HTTP_IF_NONE_MATCH",
            "HTTP_RANGE",
        ]
    ),
    st.one_of(
        odd_bytes.map(lambda each: each.decode("latin-1")),
        st.sampled_from(["results", "prefetch", "testserver", "t=1,v1=00", "de,fr;q=x", "*"]),
    ),
    max_size=2,
)
request = st.fixed_dictionaries(
    {
        "route": st.sampled_from(ROUTES),
        "segment": st.one_of(st.just(PUBLIC_ID.encode()), odd_bytes),
        "tail": st.sampled_from([b""] * 20 + [b"\xff", b"%00", b"x/", b"\x00", b"//evil.example"]),
        "method": st.sampled_from([FITTING] * 8 + ["GET", "POST", "HEAD", "PUT", "DELETE", "FOO"]),
        "query": st.one_of(
            fields,
            st.just([]),
            returned,
            st.just([("patient_session_id", SESSION_ID)]),
            cut,
            odd_bytes,
        ),
        "body": body,
        # What the view is for, and something besides: else few would get past its first check.
        "filled": st.one_of(st.none(), st.just([]), st.just([]), fields),
        "content_type": content_types,
        "headers": headers,
        "is_signed_in": st.sampled_from([True, True, True, False]),
        "has_token": st.sampled_from([True, True, True, False]),
        "is_signed": st.sampled_from([True, True, False]),
        "length": st.sampled_from([None, None, None, None, "", "0", "99999999"]),
        "switches": st.fixed_dictionaries(
            {"HOSTED_FALLBACK": st.booleans(), "CONFIRM_BEFORE_PORTAL": st.booleans()}
        ),
    }
)


def encode(pairs: list[tuple[str, str | bytes]]) -> str:
    return urlencode(
        [
            (
                name.encode("utf-8", "surrogatepass"),
                value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass"),
            )
            for name, value in pairs
        ]
    )


def fill(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the request with a body that its view is for, where one was drawn."""
    more, route = asked["filled"], asked["route"]
    if more is None or "webhook" in route:
        return asked
    if route.startswith("api/"):
        told = {name: value for name, value in more if isinstance(value, str)}
        filled = json.dumps({**told, "connection_id": "fhirsrc_1"}).encode()
        return {**asked, "body": filled, "content_type": "application/json"}
    needed = {"start/": ("connection_id", "fhirsrc_1"), "not-found/": ("text", "St. Elsewhere")}
    filled = encode([needed.get(route, ("connection", LINK_ID)), *more]).encode()
    return {**asked, "body": filled, "content_type": "application/x-www-form-urlencoded"}


def environ(asked: dict[str, Any], session_cookie: str) -> dict[str, Any]:
    """Return what a WSGI server makes of the request."""
    asked = fill(asked)
    path = b"/records/" + re.sub(rb"<[^>]*>", lambda _: asked["segment"], asked["route"].encode())
    query = asked["query"]
    method = asked["method"]
    if method is FITTING:
        method = "POST" if POSTED_TO.search(asked["route"]) else "GET"
    cookies = [f"csrftoken={TOKEN}"] if asked["has_token"] else []
    cookies += [f"sessionid={session_cookie}"] if asked["is_signed_in"] else []
    made = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": (path + asked["tail"]).decode("latin-1"),
        "QUERY_STRING": quote_from_bytes(query, "%&=+;")
        if isinstance(query, bytes)
        else encode(query),
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": asked["content_type"],
        "CONTENT_LENGTH": str(len(asked["body"])) if asked["length"] is None else asked["length"],
        "HTTP_COOKIE": "; ".join(cookies),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(asked["body"]),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **asked["headers"],
    }
    if asked["has_token"]:
        made["HTTP_X_CSRFTOKEN"] = TOKEN
    if asked["is_signed"]:
        made["HTTP_MEDBLOCKS_SIGNATURE"] = sign_now(asked["body"])
    return made


@pytest.fixture
def handler(patient_client, user, settings):
    """The site behind its WSGI handler, with a Medblocks that answers everything well."""
    settings.DEBUG = False
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        **SETTINGS,
        "THROTTLES": dict.fromkeys(DEFAULTS["THROTTLES"]),
    }
    PatientConnectionAttempt.objects.create(
        public_id=PUBLIC_ID,
        patient_id=str(user.pk),
        patient_session_id=SESSION_ID,
        connection_id="fhirsrc_1",
        status="started",
    )
    numbers = itertools.count()

    def open_session(asked):
        number = next(numbers)
        opened = {
            "id": f"ps_{number}",
            "status": "open",
            "url": "https://app.medblocks.com/c/1",
            "patient_id": str(user.pk),
        }
        return 200, {}, json.dumps(opened)

    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_callback(responses.POST, f"{BASE_URL}/patient-sessions", open_session)
        mock.get(
            f"{BASE_URL}/patient-sessions/{SESSION_ID}",
            json={"id": SESSION_ID, "status": "open", "patient_id": str(user.pk)},
        )
        mock.get(f"{BASE_URL}/connections/fhirsrc_1", json={"id": "fhirsrc_1", "name": "One"})
        mock.get(re.compile(f"{BASE_URL}/connections/.*"), status=404)
        mock.get(re.compile(f"{BASE_URL}/connections"), json={"data": [], "has_more": False})
        link = {"id": LINK_ID, "connection_id": "fhirsrc_1", "status": "active"}
        patient = {"id": str(user.pk), "connections": [link]}
        mock.get(re.compile(f"{BASE_URL}/patients/[^/]*$"), json=patient)
        mock.delete(re.compile(BASE_URL), json={"id": LINK_ID, "disconnected": True})
        # It would close the connection that holds the test's transaction.
        request_started.disconnect(close_old_connections)
        request_finished.disconnect(close_old_connections)
        yield WSGIHandler(), patient_client.cookies["sessionid"].value
        request_started.connect(close_old_connections)
        request_finished.connect(close_old_connections)


def is_ours(given: dict[str, Any]) -> bool:
    """Return whether the app is asked: its host is the site's, and its address the app's."""
    asked = WSGIRequest(dict(given))  # it writes into what it is given
    try:
        asked.get_host()
        return resolve(asked.path_info).app_name == "medblocks_connect"
    except (DisallowedHost, Resolver404):
        return False


def test_fuzzed_requests_get_no_5xx(handler, settings):
    """Issue 3, "Prove": at least 5,000 generated requests to all public views."""
    serve, session_cookie = handler
    counts: Counter[tuple[str, str, int]] = Counter()

    @hypothesis_settings(
        max_examples=REQUESTS * 3 // 2,  # with those that Django answers before any view of ours
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],  # shrinking could take minutes
        suppress_health_check=list(HealthCheck),
    )
    @given(request)
    def send(asked: dict[str, Any]) -> None:
        told: list[str] = []
        settings.MEDBLOCKS_CONNECT.update(asked["switches"])
        given = environ(asked, session_cookie)
        ours = is_ours(given)
        try:
            answer = serve(given, lambda status, _headers: told.append(status))
            b"".join(answer)
            answer.close()
        except BadRequest:  # raised by Django's page for a bad request
            told.append("500")
        status = int(told[0][:3])
        assert not connection.needs_rollback
        if ours:
            counts[asked["route"], given["REQUEST_METHOD"], status] += 1
            assert status < 500

    send()
    assert counts.total() >= REQUESTS
    assert {200, 302, 303, 400, 403, 404, 405} <= {status for _, _, status in counts}
    if REQUESTS >= MANY:
        # Proof that every view was gone through, and not only up to its first check.
        done = {route for route, method, status in counts if status in DONE[method]}
        assert done == set(ROUTES)


def test_attempt_address_with_nul_is_404(patient_client):
    """PostgreSQL raises for a NUL in a comparison."""
    assert patient_client.get("/records/attempts/a%00b/").status_code == 404
