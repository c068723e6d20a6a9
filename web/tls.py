"""TLS for the listeners: the server's context, and taking up changed files without dropping a connection.

Counterparts: web/localca.py makes the files where none are configured; web/listener takes `ServerTls.context` for each new
connection; web/app.py makes one `ServerTls`, web/edge.py gives it to the listeners.
"""

from __future__ import annotations

import ssl
import threading
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509
from msgspec import Struct

from web.localca import TlsError, TlsFiles, ensure_local_certificate

__all__ = [
    "REFRESH_EVERY_S",
    "ServerContext",
    "ServerTls",
    "TlsError",
    "TlsFiles",
    "TlsStatistics",
    "ensure_local_certificate",
    "server_context",
]

REFRESH_EVERY_S: Final = 30.0
"""How often the files are looked at, at most. A changed certificate counts for connections made after that."""
CIPHERS_TLS12: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Forward secret AEAD only: what RFC 9113 section 9.2.2 leaves for HTTP/2 over TLS 1.2. TLS 1.3 has its own list."""

log = structlog.get_logger(__name__)


class TlsStatistics(Struct, frozen=True):
    """`not_after`: epoch seconds at which the certificate ends. Counts since the start."""

    certificate: str
    not_after: float
    reloads: int
    failures: int


class ServerContext(ssl.SSLContext):
    """`client_ca`: the CA (PEM) whose certificates its connections may show; empty where none is asked for."""

    client_ca: bytes = b""


def server_context(files: TlsFiles, *, client_ca: Path | None = None) -> ServerContext:
    """TLS 1.2 or later with ALPN h2 and http/1.1. With `client_ca`, clients may show a certificate, which must be of that CA.

    No session is resumed: an API server never does, and a ticket's key would undo forward secrecy. TlsError names the file that
    cannot be used.
    """
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Added to OpenSSL's defaults, never in place of them: those hold the work-arounds and SINGLE_ECDH_USE.
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.set_ciphers(CIPHERS_TLS12)
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        context.load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError) as error:
        raise TlsError(f"the certificate {files.certificate} with the key {files.key}: {_why(error)}") from error
    if client_ca is not None:
        _ask_for_certificate(context, client_ca)
    return context


def _ask_for_certificate(context: ServerContext, client_ca: Path) -> None:
    """Asks and does not demand: who has a token needs none. One that is shown and is not of this CA ends the handshake."""
    try:
        pem = client_ca.read_bytes()
        context.load_verify_locations(cadata=pem.decode("ascii", "replace"))
    except (OSError, ssl.SSLError, ValueError) as error:
        why = _why(error) if isinstance(error, OSError) else "not a PEM file that can be used"
        raise TlsError(f"PROTECTOR_TLS_CLIENT_CA {client_ca}: {why}") from error
    context.verify_mode = ssl.CERT_OPTIONAL
    context.client_ca = pem


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "not a PEM file that can be used"
    return error.strerror or type(error).__name__


class ServerTls:
    """The listeners' certificate over time: configured or self-made, renewed and re-read without dropping a connection.

    `context(client_ca=…)` is for each new connection; `refresh(now)` looks at the files, at most every REFRESH_EVERY_S.
    What cannot be used keeps what was there, counted and logged once until it works again.
    """

    def __init__(
        self,
        *,
        state_dir: Path,
        certificate: Path | None = None,
        key: Path | None = None,
        client_ca: Path | None = None,
        names: tuple[str, ...] = (),
        now: float,
    ) -> None:
        self._folder = state_dir / "tls"
        self._names = names
        self._configured = TlsFiles(certificate, key) if certificate is not None and key is not None else None
        self._client_ca = client_ca
        self._reloads = self._failures = 0
        self._looked_at = now
        self._is_complaining = False
        self._refreshing = threading.Lock()
        self._load(now)

    @property
    def files(self) -> TlsFiles:
        """The files in use; `files.ca` is what senders need, where it is ours."""
        return self._files

    def context(self, *, with_client_ca: bool = True) -> ServerContext:
        """For the next connection. `with_client_ca` false: a listener whose clients are people, not API servers."""
        return self._for_senders if with_client_ca else self._for_people

    def refresh(self, now: float) -> bool:
        """Takes up changed files and renews the self-made certificate; whether there is a new context.

        May be called from several threads: each listener's upkeep does.
        """
        with self._refreshing:
            return self._refresh(now)

    def _refresh(self, now: float) -> bool:
        if now - self._looked_at < REFRESH_EVERY_S:
            return False
        self._looked_at = now
        try:
            if self._configured is None:
                ensure_local_certificate(self._folder, self._names, now=now)
            if self._signature() == self._seen:
                self._is_complaining = False
                return False
            self._load(now)
        except (TlsError, OSError) as error:
            self._failures += 1
            if not self._is_complaining:
                log.error("the changed certificate cannot be used; the old one stays", why=str(error))
            self._is_complaining = True
            return False
        self._reloads += 1
        self._is_complaining = False
        log.info("took up a changed certificate", file=str(self._files.certificate))
        return True

    def statistics(self) -> TlsStatistics:
        """What is in use and how often it changed."""
        return TlsStatistics(str(self._files.certificate), self._not_after, self._reloads, self._failures)

    def _load(self, now: float) -> None:
        if self._client_ca is not None:  # looked at first: a start that is refused makes no files
            _ask_for_certificate(ServerContext(ssl.PROTOCOL_TLS_SERVER), self._client_ca)
        files = self._configured or ensure_local_certificate(self._folder, self._names, now=now)
        self._files = files
        seen = self._signature()
        people = server_context(files)
        senders = server_context(files, client_ca=self._client_ca) if self._client_ca else people
        try:
            certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        except ValueError as error:
            raise TlsError(f"the certificate {files.certificate}: {error}") from error
        self._for_people, self._for_senders = people, senders
        self._not_after = certificate.not_valid_after_utc.timestamp()
        self._seen, self._looked_at = seen, now

    def _signature(self) -> tuple[tuple[int, int, int, int], ...]:
        watched = [self._files.certificate, self._files.key] + ([self._client_ca] if self._client_ca else [])
        stats = [file.stat() for file in watched]
        return tuple((s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in stats)
