"""`protector doctor` posts one synthetic event and sees it come through: TLS, token, parser, commit. Counterpart: web/doctor.py.

The event is harmless: its verb is none that reads, so it is dropped under a reason of its own, and a batch of nothing else does not
count as heard from an API server (actors/store/records.py). Each way to fail is one finding with what to do.
"""

from __future__ import annotations

import http.client
import secrets
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from actors.messages import PROBE, PROBE_VERB
from web.expected_checks import Finding

__all__ = ["ProbeError", "Target", "probe_event", "probe_findings", "target_from"]

TIMEOUT_S: Final = 35.0
"""For the connection and for the answer; an API server gives up after 30 s."""
ANSWER_BYTES_MAX: Final = 64 * 1024
"""As much of an answer is read."""
UNSPECIFIED: Final = frozenset({"0.0.0.0", "::"})
"""Addresses to listen on, to which nobody can connect."""

_ANSWERS: Final = {
    401: ("the token is not taken", "the ingest token of this server is needed: --ingest-token-file"),
    404: ("there is no audit listener at this path", "the address is another listener's; the path is /audit"),
    429: ("over the rate of this token", "wait; if it stays, raise PROTECTOR_RATE_PER_S"),
    503: ("not taken: stopping, full, or the store cannot write", "see the server's log; is the disk full?"),
}
_HOSTNAME_MISMATCH: Final = frozenset({62, 64})
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH (openssl/x509_vfy.h)."""


class ProbeError(Exception):
    """What is given to reach the listener cannot be used. The text is one line."""


class Asks(Protocol):
    """As much of web.ask.Server as is needed."""

    def get(self, path: str, **query: str) -> Any:
        """The decoded answer."""
        ...


class Target(Struct, frozen=True):
    """An audit listener, as the API server reaches it. `context` None: plaintext; `server_name`: the name in its certificate."""

    host: str
    port: int
    path: str
    token: str
    context: ssl.SSLContext | None
    server_name: str

    def __repr__(self) -> str:
        return f"Target({self.host}:{self.port}{self.path})"  # and not the token


def target_from(
    settings: Mapping[str, Any], url: str | None, ca: Path | None, token_file: Path | None, server_name: str | None
) -> Target | None:
    """From the options, or from where `serve` with these settings (by attribute) has them. None: no listener is named.

    ProbeError where the URL, the CA or the token cannot be used.
    """
    if url is None:
        if (address := settings.get("audit_addr")) is None:
            return None
        host = "localhost" if address.host in UNSPECIFIED else address.host
        scheme, port, path = "http" if settings.get("plaintext") else "https", address.port, "/audit"
    else:
        scheme, host, port, path = _parts(url)
    token = _token(token_file or settings.get("ingest_token_file"), settings.get("ingest_token"))
    context = _context(settings, ca) if scheme == "https" else None
    return Target(host, port, path, token, context, server_name or host)


def _parts(url: str) -> tuple[str, str, int, str]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ProbeError(f"--audit {url!r} is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise ProbeError(f"--audit {url!r} is no URL such as https://HOST:PORT/audit")
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80), parts.path or "/"


def _token(file: Path | None, token: str | None) -> str:
    if file is not None:
        try:
            token = next(iter(file.read_text(encoding="ascii").split()), None)
        except (OSError, UnicodeDecodeError):
            raise ProbeError(f"the ingest token's file {file} cannot be read as text of one token a line") from None
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ProbeError(
            "no usable ingest token: give --ingest-token-file, or set PROTECTOR_INGEST_TOKEN_FILE or PROTECTOR_INGEST_TOKEN"
        )
    return token


def _context(settings: Mapping[str, Any], ca: Path | None) -> ssl.SSLContext:
    """What trusts the CA alone; without one that serve made, where it has a certificate of the operator's, the system's CAs."""
    if ca is None and settings.get("tls_cert") is None:
        own = Path(settings.get("state_dir") or ".protector") / "tls" / "ca.crt"
        ca = own if own.exists() else None
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or error.strerror or "no PEM file"
        raise ProbeError(f"the CA {ca} of the audit listener: {reason}") from None


def probe_event() -> bytes:
    """A body that no server has seen yet. It has no times: a clock that is behind here must not look like the API server's."""
    event = {
        "level": "Metadata",
        "auditID": f"protector-doctor-{secrets.token_hex(12)}",
        "stage": "ResponseComplete",
        "requestURI": f"/{PROBE_VERB}",
        "verb": PROBE_VERB,
        "user": {"username": "protector:doctor"},
    }
    return msgspec.json.encode({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": [event]})


def probe_findings(target: Target, server: Asks) -> list[Finding]:
    """Posts one event, and looks whether the server that is asked has counted it. What went wrong; nothing: it went through.

    Blocks, at most twice TIMEOUT_S beside what the server takes. Raises AskError where the server does not answer.
    """
    before = _counted(server)
    try:
        status, body = _post(target, probe_event())
    except (OSError, http.client.HTTPException) as error:
        return [_unreached(target, error)]
    if status != 200:
        what, hint = _ANSWERS.get(
            status, ("an answer that no audit listener gives to it", "what listens at this address?")
        )
        return [Finding(f"{_where(target)} answered {status}: {what}", hint)]
    if not _is_taken(body):
        return [
            Finding(
                f"{_where(target)} answered, but did not take it for the doctor's event",
                "is that protector, and of this version?",
            )
        ]
    if _counted(server) <= before:
        return [
            Finding(
                f"{_where(target)} took it, and the server that is asked has not counted it",
                "--server and --audit are two different servers",
            )
        ]
    return []


def _counted(server: Asks) -> int:
    return int(server.get("/api/status")["counts"]["dropped"].get(PROBE, 0))


def _is_taken(body: bytes) -> bool:
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return False
    return isinstance(answer, dict) and (answer.get("events"), answer.get("dropped")) == (1, {PROBE: 1})


def _post(target: Target, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(target.host, target.port, timeout=TIMEOUT_S)
    try:
        connection.connect()
        if target.context is not None:
            connection.sock = target.context.wrap_socket(connection.sock, server_hostname=target.server_name)
        headers = {"Authorization": f"Bearer {target.token}", "Content-Type": "application/json"}
        connection.request("POST", target.path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(ANSWER_BYTES_MAX)
    finally:
        connection.close()


def _where(target: Target) -> str:
    return f"{target.host}:{target.port}"


def _unreached(target: Target, error: Exception) -> Finding:
    """What the failure means, the most exact first: TLS's errors are OSErrors too."""
    where = _where(target)
    match error:
        case ssl.SSLCertVerificationError() if error.verify_code in _HOSTNAME_MISMATCH:
            return Finding(
                f"{where}: its certificate is not for the name {target.server_name}",
                "give --tls-server-name with a name that it has, or add this one to PROTECTOR_TLS_NAMES",
            )
        case ssl.SSLCertVerificationError():
            return Finding(
                f"{where}: its certificate is not trusted ({error.verify_message})",
                "give its CA with --audit-ca: tls/ca.crt of the server's state directory",
            )
        case ssl.SSLError() | http.client.HTTPException():
            return Finding(
                f"{where}: no TLS and HTTP as an audit listener speaks them ({type(error).__name__})",
                "what listens there? https, and http only with PROTECTOR_PLAINTEXT=1",
            )
        case ConnectionRefusedError():
            return Finding(
                f"{where}: nothing listens there", "is PROTECTOR_AUDIT_ADDR set where it serves, and this the address?"
            )
        case socket.gaierror():
            return Finding(f"{where}: the name cannot be resolved", "API servers resolve it with their node's resolver")
        case TimeoutError():
            return Finding(f"{where}: no answer in {TIMEOUT_S:.0f} s", "a firewall or NetworkPolicy between?")
        case _:
            return Finding(
                f"{where}: {type(error).__name__}: {getattr(error, 'strerror', None) or 'cut'}",
                "a proxy or a firewall between? see the server's log",
            )
