"""The server's context: what is negotiated, what is refused, and that changed files are taken up without a pause."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import pytest

from web.localca import ensure_local_certificate
from web.tls import REFRESH_EVERY_S, ServerTls, TlsError, TlsFiles, server_context

NOW = time.time()


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost") -> ssl.SSLObject:
    """Both sides in memory; raises what the client, or else the server, raises. Returns the client's side."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname=name)
    for _ in range(4):
        for side in (theirs, ours):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    theirs.write(b"x")
    assert ours.read(1) == b"x"
    return theirs


def _client(files: TlsFiles, *alpn: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(files.ca))
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN  # Python 3.13's defaults
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "protector.example"])
def test_a_strict_client_accepts_every_name(tmp_path: Path, name: str) -> None:
    """With the CA alone, hostname checked, under OpenSSL's strict rules."""
    files = ensure_local_certificate(tmp_path, ("protector.example",), now=NOW)
    assert _handshake(server_context(files), _client(files), name).version() == "TLSv1.3"


def test_another_name_is_not_accepted(tmp_path: Path) -> None:
    """The check is real."""
    files = ensure_local_certificate(tmp_path, (), now=NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(server_context(files), _client(files), "evil.example")


@pytest.mark.parametrize(
    ("offered", "expected"),
    [(("h2", "http/1.1"), "h2"), (("http/1.1", "h2"), "h2"), (("http/1.1",), "http/1.1"), ((), None)],
)
def test_http2_is_preferred(tmp_path: Path, offered: tuple[str, ...], expected: str | None) -> None:
    """By ALPN, whatever the client's order."""
    files = ensure_local_certificate(tmp_path, (), now=NOW)
    assert _handshake(server_context(files), _client(files, *offered)).selected_alpn_protocol() == expected


def test_tls_1_2_is_the_least(tmp_path: Path) -> None:
    """1.2 works with forward secrecy and an AEAD; OpenSSL's defaults are kept and tightened, not replaced."""
    files = ensure_local_certificate(tmp_path, (), now=NOW)
    server, client = server_context(files), _client(files)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    cipher = _handshake(server, client).cipher()
    assert cipher is not None
    assert cipher[0].startswith("ECDHE-ECDSA-")
    assert server.minimum_version == ssl.TLSVersion.TLSv1_2
    defaults = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).options
    assert server.options & defaults == defaults
    assert server.options & ssl.OP_NO_RENEGOTIATION
    assert all("GCM" in c["name"] or "CHACHA20" in c["name"] for c in server.get_ciphers())


def test_with_a_client_ca_a_certificate_is_asked_for(tmp_path: Path) -> None:
    """And not demanded: who has a token needs none (tests/web/test_client_certificates.py has those who show one)."""
    files = ensure_local_certificate(tmp_path, (), now=NOW)
    other = ensure_local_certificate(tmp_path / "other", (), now=NOW)
    server = server_context(files, client_ca=other.ca)
    assert server.verify_mode == ssl.CERT_OPTIONAL
    assert other.ca is not None
    assert server.client_ca == other.ca.read_bytes()
    _handshake(server, _client(files))


def test_no_session_is_resumed(tmp_path: Path) -> None:
    """Neither version hands out a ticket: its key would undo forward secrecy, and no API server uses one."""
    files = ensure_local_certificate(tmp_path, (), now=NOW)
    server = server_context(files)
    assert server.num_tickets == 0
    assert server.options & ssl.OP_NO_TICKET


@pytest.mark.parametrize("broken", ["missing", "garbage", "another key"])
def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path, broken: str) -> None:
    """One line with the file's name."""
    files = ensure_local_certificate(tmp_path, (), now=NOW)
    if broken == "missing":
        files.certificate.unlink()
    elif broken == "garbage":
        files.certificate.write_text("garbage")
    else:
        files.key.write_bytes((tmp_path / "ca.key").read_bytes())
    with pytest.raises(TlsError, match=r"server\.crt"):
        server_context(files)


def test_a_client_ca_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """By its setting."""
    files = ensure_local_certificate(tmp_path, (), now=NOW)
    with pytest.raises(TlsError, match="PROTECTOR_TLS_CLIENT_CA"):
        server_context(files, client_ca=tmp_path / "none.crt")


def test_nothing_is_made_for_a_client_ca_that_cannot_be_used(tmp_path: Path) -> None:
    """A start that is refused leaves no certificate behind, and has said of none that it was made."""
    garbage = tmp_path / "garbage.crt"
    garbage.write_text("garbage")
    with pytest.raises(TlsError, match="PROTECTOR_TLS_CLIENT_CA"):
        ServerTls(state_dir=tmp_path / "state", client_ca=garbage, now=NOW)
    assert not (tmp_path / "state").exists()


def test_a_self_made_certificate_is_renewed_while_running(tmp_path: Path) -> None:
    """A new context for new connections, under the same CA; looked at no more often than REFRESH_EVERY_S."""
    tls = ServerTls(state_dir=tmp_path, now=NOW)
    old, ca = tls.context(), tls.files.ca
    assert ca is not None
    before, not_after = ca.read_bytes(), tls.statistics().not_after
    assert tls.refresh(NOW + 300 * 86_400) is True
    assert tls.refresh(NOW + 300 * 86_400 + REFRESH_EVERY_S / 2) is False
    assert tls.context() is not old
    assert ca.read_bytes() == before
    assert tls.statistics().not_after > not_after
    assert tls.statistics().reloads == 1


def _configured(tmp_path: Path) -> tuple[ServerTls, TlsFiles]:
    files = ensure_local_certificate(tmp_path / "theirs", (), now=NOW)
    return ServerTls(state_dir=tmp_path, certificate=files.certificate, key=files.key, now=NOW), files


def test_configured_files_are_used_and_none_are_made(tmp_path: Path) -> None:
    """With the operator's certificate there is no CA of ours to hand out."""
    tls, _ = _configured(tmp_path)
    assert tls.files.ca is None
    assert not (tmp_path / "tls").exists()


def test_changed_files_are_taken_up(tmp_path: Path) -> None:
    """A rotated certificate counts for the next connection; the same files again change nothing."""
    tls, files = _configured(tmp_path)
    assert tls.refresh(NOW + REFRESH_EVERY_S) is False
    ensure_local_certificate(tmp_path / "theirs", ("new.example",), now=NOW)
    assert tls.refresh(NOW + 2 * REFRESH_EVERY_S) is True
    client = ssl.create_default_context(cafile=str(files.ca))
    assert _handshake(tls.context(), client, "new.example").version() == "TLSv1.3"
    assert tls.refresh(NOW + 3 * REFRESH_EVERY_S) is False


def test_a_broken_change_keeps_what_was_there(tmp_path: Path) -> None:
    """Half a rotation (a certificate without its key) changes nothing, is counted, and is taken up once it is whole."""
    tls, files = _configured(tmp_path)
    old, key = tls.context(), files.key.read_bytes()
    files.key.write_text("garbage")
    assert [tls.refresh(NOW + n * REFRESH_EVERY_S) for n in (1, 2)] == [False, False]
    assert tls.context() is old
    assert tls.statistics().failures == 2
    files.key.write_bytes(key)
    assert tls.refresh(NOW + 3 * REFRESH_EVERY_S) is True


def test_people_need_no_client_certificate(tmp_path: Path) -> None:
    """The client CA is for senders: the dashboard's context does not ask for one."""
    client_ca = ensure_local_certificate(tmp_path / "clients", (), now=NOW).ca
    tls = ServerTls(state_dir=tmp_path, client_ca=client_ca, now=NOW)
    modes = (tls.context().verify_mode, tls.context(with_client_ca=False).verify_mode)
    assert modes == (ssl.CERT_OPTIONAL, ssl.CERT_NONE)
