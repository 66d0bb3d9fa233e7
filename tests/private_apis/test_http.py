"""The private APIs of requests, urllib3 and http.client are what they were."""

from __future__ import annotations

import http.client
import io
import socket

import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from tests.private_apis.uses import proves


class ReachedError(Exception):
    """The overridden method was called."""


@proves("HTTPConnection._new_conn")
@pytest.mark.parametrize("base", [HTTPConnection, HTTPSConnection])
def test_connect_opens_its_socket_by_new_conn(base):
    class Connection(base):
        def _new_conn(self):
            raise ReachedError

    with pytest.raises(ReachedError):
        Connection("nowhere.example").connect()


@proves("HTTPConnection.sock")
@proves("HTTPConnection.response_class")
@proves("HTTPResponse.fp")
def test_answer_is_read_from_the_buffer_over_the_connections_socket():
    class Response(http.client.HTTPResponse):
        def __init__(self, sock, *args, **kwargs):
            super().__init__(sock, *args, **kwargs)
            raw = self.fp.detach()
            assert isinstance(raw, socket.SocketIO)
            self.fp = io.BufferedReader(raw)

    class Connection(HTTPConnection):
        response_class = Response

    connection = Connection("nowhere.example")
    assert connection.sock is None
    connection.sock, server = socket.socketpair()
    with server, connection.sock:
        server.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nours")
        connection.request("GET", "/")
        assert connection.getresponse().data == b"ours"


class FailingConnection(HTTPConnection):
    failure: type[Exception] = ReachedError

    def connect(self):
        raise self.failure(self, "a message") if self.failure is not ReachedError else ReachedError


class FailingPool(HTTPConnectionPool):
    ConnectionCls = FailingConnection


def get_through_failing_pool():
    adapter = HTTPAdapter(max_retries=0)
    adapter.poolmanager.pool_classes_by_scheme = {"http": FailingPool}
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", adapter)
        session.get("http://nowhere.example")


@proves("HTTPConnectionPool.ConnectionCls")
@proves("PoolManager.pool_classes_by_scheme")
@proves("HTTPAdapter.poolmanager")
def test_request_goes_through_the_pool_class_and_connection_class():
    with pytest.raises(ReachedError):
        get_through_failing_pool()


class TunnellingConnection(HTTPSConnection):
    def _new_conn(self):
        return socket.socket()  # urllib3 closes it

    def _tunnel(self):
        raise ReachedError


class TunnellingPool(HTTPSConnectionPool):
    ConnectionCls = TunnellingConnection


@proves("HTTPConnection._tunnel")
@proves("HTTPAdapter.proxy_manager_for")
def test_request_through_a_proxy_opens_a_tunnel_by_the_managers_pool_class():
    class Adapter(HTTPAdapter):
        def proxy_manager_for(self, proxy, **options):
            manager = super().proxy_manager_for(proxy, **options)
            manager.pool_classes_by_scheme = {"https": TunnellingPool}
            return manager

    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", Adapter(max_retries=0))
        with pytest.raises(ReachedError):
            session.get("https://nowhere.example", proxies={"https": "http://proxy.example"})


@proves("ConnectTimeoutError")
def test_connect_timeout_of_urllib3_is_one_of_requests(monkeypatch):
    monkeypatch.setattr(FailingConnection, "failure", ConnectTimeoutError)
    with pytest.raises(requests.ConnectTimeout):
        get_through_failing_pool()


@proves("ConnectionError.args")
def test_connection_error_holds_the_reason_that_nothing_was_sent(monkeypatch):
    monkeypatch.setattr(FailingConnection, "failure", NewConnectionError)
    with pytest.raises(requests.ConnectionError) as caught:
        get_through_failing_pool()
    assert isinstance(caught.value.args[0].reason, NewConnectionError)


@proves("Session.get_redirect_target")
def test_redirect_without_target_is_not_read():
    class Body:
        def read(self, *_args, **_options):
            raise ReachedError

    class RedirectingAdapter(HTTPAdapter):
        def send(self, request, **_options):
            response = requests.Response()
            response.status_code, response.raw = 302, Body()
            response.headers["Location"] = "http://elsewhere.example"
            response.url, response.request = request.url, request
            return response

    class Session(requests.Session):
        def get_redirect_target(self, resp):
            return None

    with Session() as session:
        session.mount("http://", RedirectingAdapter())
        request = requests.Request("GET", "http://nowhere.example").prepare()
        assert session.send(request, stream=True, allow_redirects=False).status_code == 302


@proves("urllib3.connectionpool")
def test_loggers_of_urllib3_have_the_names_of_its_modules():
    modules = (urllib3.connectionpool, urllib3.connection, urllib3.util.retry)
    names = ["urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry"]
    assert [module.log.name for module in modules] == names
