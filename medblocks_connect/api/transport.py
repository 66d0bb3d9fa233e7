"""The one door to the network: every call to Medblocks goes through ``Transport.call``.

It owns the key, the deadline, the retries and the names of what goes wrong.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import TypeVar
from urllib.parse import quote, urlencode

import requests
import urllib3
from urllib3.exceptions import NewConnectionError

from medblocks_connect import __version__
from medblocks_connect.api import clock
from medblocks_connect.api.deadline import NETWORK_FAILURES, Exchange, meter_sockets
from medblocks_connect.api.errors import (
    InvalidRequestError,
    MedblocksConnectionError,
    MedblocksError,
    NoAnswerError,
    UnexpectedReplyError,
)
from medblocks_connect.api.gate import Gate, Visit
from medblocks_connect.api.kept_connections import KeptConnections, Route
from medblocks_connect.api.redaction import Redactor, Secret
from medblocks_connect.api.replies import read_reply, read_request_id
from medblocks_connect.api.retries import RetryPolicy

Result = TypeVar("Result")

_FAILURES_OF_HTTP = (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException)

logger = logging.getLogger("medblocks_connect.api")


@dataclass(frozen=True)
class Call:
    """One request to Medblocks: a method and a path template, and what fills them.

    ``private`` are this call's texts that no error message may repeat. ``timeout`` is in seconds
    for the whole call, ``None`` for the client's.
    """

    method: str
    template: str
    ids: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    private: tuple[str, ...] = field(default=(), repr=False)
    authenticated: bool = True
    timeout: float | None = None


class Transport:
    """Sends calls to one Medblocks with one key. Safe to share between threads and after a fork."""

    def __init__(
        self,
        api_key: Secret,
        base_url: str,
        api_version: str,
        *,
        timeout: float,
        connect_timeout: float,
        retries: RetryPolicy,
        gate: Gate | None,
        route: Route,
    ) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._api_version = api_version
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._retries = retries
        self._gate = gate
        self._kept_connections = KeptConnections(connect_timeout, route)

    def call(self, call: Call, read: Callable[[object], Result]) -> Result:
        """Return what ``read`` makes of the answer's JSON; raises ``MedblocksError``."""
        result, _request_id = self.call_for_request_id(call, read)
        return result

    def call_for_request_id(
        self, call: Call, read: Callable[[object], Result]
    ) -> tuple[Result, str]:
        """Return what ``read`` makes of the answer's JSON, and Medblocks' id of the request.

        Raises ``MedblocksError``.
        Tries again where that is safe and there is time: a GET after any failure of the network,
        others only if the request cannot have been sent, and all after 429, 502, 503 and 504.
        Behind a gate, the call has its seat until the end, also while it waits to try again.
        """
        timeout = self._timeout if call.timeout is None else check_timeout(call.timeout)
        deadline = clock.monotonic() + timeout
        request = self._prepare_request(call)
        redactor = Redactor(self._api_key, call.private)
        tries = 0
        with self._pass_gate() as visit:
            while True:
                allowed_seconds = deadline - clock.monotonic()
                try:
                    answer = self._try_once(call, request, read, redactor, deadline)
                except MedblocksError as error:
                    failure = error
                else:
                    if visit is not None:
                        visit.note_answer()
                    return answer
                tries += 1
                if visit is not None:
                    visit.note_failure(failure, allowed_seconds)
                wait = self._retries.choose_wait(call.method, failure, tries)
                if wait is None or clock.monotonic() + wait >= deadline:
                    break
                if visit is not None and not visit.may_repeat:
                    break
                clock.sleep(wait)
        raise failure

    @contextmanager
    def _pass_gate(self) -> Iterator[Visit | None]:
        if self._gate is None:
            yield None
        else:
            with self._gate.admit() as visit:
                yield visit

    def _try_once(
        self,
        call: Call,
        request: requests.PreparedRequest,
        read: Callable[[object], Result],
        redactor: Redactor,
        deadline: float,
    ) -> tuple[Result, str]:
        exchange = Exchange(deadline, self._connect_timeout)
        started = clock.monotonic()
        status: object = "no answer"
        request_id = ""
        try:
            with meter_sockets(exchange):
                answer = self._kept_connections.send(
                    request,
                    exchange,
                    is_repeatable=self._retries.may_repeat_unanswered(call.method),
                )
                status, request_id = answer.status_code, read_request_id(answer, redactor)
                try:
                    return read_reply(answer, read, redactor), request_id
                finally:
                    answer.close()
        except NETWORK_FAILURES as error:
            failure = _classify_failure(error, exchange, request_id)
        finally:
            milliseconds = round((clock.monotonic() - started) * 1000)
            logger.debug(
                "%s %s: %s, request %s, %d ms",
                call.method,
                call.template,
                status,
                request_id or "unknown",
                milliseconds,
            )
        raise failure

    def _prepare_request(self, call: Call) -> requests.PreparedRequest:
        path = call.template.format(
            **{name: _quote_id(name, value) for name, value in call.ids.items()}
        )
        query = _quote_query(call.query)
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"django-medblocks-connect/{__version__}",
        }
        if self._api_version:
            headers["Version"] = self._api_version
        if call.authenticated:
            headers["Authorization"] = f"Bearer {self._api_key.reveal()}"
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        url = f"{self._base_url}{path}{'?' if query else ''}{query}"
        try:
            return requests.Request(call.method, url, headers=headers, data=call.body).prepare()
        except NETWORK_FAILURES:
            pass
        # Raised out here: requests' error quotes the whole address.
        raise MedblocksConnectionError("The request could not be built.")


def check_timeout(seconds: float) -> float:
    """Return ``seconds``; raises ``ValueError`` unless it is a positive, finite number."""
    if not 0 < seconds < threading.TIMEOUT_MAX:
        raise ValueError("A timeout must be a positive number of seconds.")
    return seconds


def _classify_failure(error: Exception, exchange: Exchange, request_id: str) -> MedblocksError:
    if exchange.too_large:
        return UnexpectedReplyError("The answer is too large.", request_id=request_id)
    if not exchange.sent and _is_before_sending(error):
        return MedblocksConnectionError(
            exchange.tunnel_refusal or "Medblocks could not be reached."
        )
    return NoAnswerError("Medblocks did not answer in full.", request_id=request_id)


def _is_before_sending(error: Exception) -> bool:
    """Return whether an error of this kind can only come before anything was sent."""
    # The latter: whatever the proxy answered, it opened no way.
    before = (requests.ConnectTimeout, requests.exceptions.SSLError, requests.exceptions.ProxyError)
    if isinstance(error, before):
        return True
    if not isinstance(error, _FAILURES_OF_HTTP):
        return isinstance(error, OSError)  # requests' own, of a CA file that is gone
    reason = error.args[0] if error.args else None
    causes = (reason, getattr(reason, "reason", None), error.__cause__)
    return isinstance(error, requests.ConnectionError) and any(
        isinstance(cause, NewConnectionError) for cause in causes
    )


def _quote_id(name: str, value: str) -> str:
    """Return ``value`` as one path segment; raises ``InvalidRequestError`` if it cannot be one."""
    # "." and ".." would be taken for steps in the path, also when they are percent-encoded.
    quoted = "" if value in (".", "..") else _quote(value)
    if not quoted:
        raise InvalidRequestError("This id cannot be sent.", code="invalid_id", param=name)
    return quoted


def _quote_query(query: Mapping[str, str]) -> str:
    for name, value in query.items():
        if not _quote(value):
            raise InvalidRequestError("This cannot be sent.", code="invalid_data", param=name)
    return urlencode(query, quote_via=quote)


def _quote(value: str) -> str:
    try:
        return quote(value, safe="")
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8
        return ""
