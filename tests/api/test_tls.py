"""TLS: trusted, untrusted, reset and broken, on real sockets."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from medblocks_connect.api import MedblocksConnectionError, NoAnswerError
from tests.api.conftest import HEALTHY, MakeClient, Request, Serve


def test_tls_with_trusted_certificate_keeps_its_connection(
    serve: Serve, make_client: MakeClient, trusted_certificate: Path
) -> None:
    server = serve(HEALTHY, certificate=trusted_certificate)
    client = make_client(server.url)
    assert client.health().ok
    assert client.health().ok
    assert server.connection_count == 1


def test_tls_untrusted_certificate_gets_no_request(
    serve: Serve, make_client: MakeClient, certificate: Path
) -> None:
    server = serve(HEALTHY, certificate=certificate)
    with pytest.raises(MedblocksConnectionError):
        make_client(server.url).health()
    assert server.requests == []


def test_tls_broken_after_sending_does_not_repeat_post(
    serve: Serve, make_client: MakeClient, trusted_certificate: Path
) -> None:
    """Case 9: a TLS error mostly comes before the request, but not here."""

    def answer(connection: socket.socket, request: Request) -> None:
        os.write(connection.fileno(), b"this is no TLS record" * 10)

    server = serve(answer, certificate=trusted_certificate)
    with pytest.raises(NoAnswerError):
        make_client(server.url, max_retries=2).patient_sessions.create(
            patient_id="p1", return_url="https://r/"
        )
    assert len(server.requests) == 1


def test_tls_against_plain_server_is_a_connection_error(
    serve: Serve, make_client: MakeClient
) -> None:
    server = serve(HEALTHY)
    with pytest.raises(MedblocksConnectionError):
        make_client(server.url.replace("http", "https")).health()


def test_tls_handshake_never_answered_is_a_connection_error(
    make_client: MakeClient, silent_port: int
) -> None:
    with pytest.raises(MedblocksConnectionError):  # and not never
        make_client(f"https://127.0.0.1:{silent_port}", connect_timeout=0.3).health()


def test_tls_handshake_reset_is_a_connection_error(make_client: MakeClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reset() -> None:
            connection, _ = listener.accept()
            connection.recv(1)  # the handshake has begun
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()

        resetting = threading.Thread(target=reset)
        resetting.start()
        with pytest.raises(MedblocksConnectionError):
            make_client(f"https://127.0.0.1:{listener.getsockname()[1]}").health()
        resetting.join()


@pytest.mark.parametrize("kind", [str, Path])
def test_tls_ca_bundle_is_trusted_in_place_of_the_public_ones(
    serve: Serve, make_client: MakeClient, certificate: Path, kind: type
) -> None:
    server = serve(HEALTHY, certificate=certificate)
    assert make_client(server.url, ca_bundle=kind(certificate)).health().ok


def test_tls_ca_bundle_that_is_gone_is_a_connection_error(
    serve: Serve, make_client: MakeClient, certificate: Path, tmp_path: Path
) -> None:
    """Nothing was sent, and the row says so."""
    bundle = tmp_path / "ca.pem"
    bundle.write_text(certificate.read_text())
    server = serve(HEALTHY, certificate=certificate)
    client = make_client(server.url, ca_bundle=bundle)
    bundle.unlink()
    with pytest.raises(MedblocksConnectionError):
        client.health()
    assert server.requests == []
