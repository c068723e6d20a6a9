"""Client certificates in the place of a token: which of a connection count, and when they stop counting.

The handshake has proved the key and that the configured CA signed it (web/tls.py); here it is decided whether the name may post,
and whether the certificate still is what it was when the connection began, since an API server's lives for weeks. A pure core but
for the clock that is handed in. Counterparts: web/ingest.py asks with each request; web/guard.py counts the credential.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["ANY_NAME", "ClientCertificates", "names_of"]

ANY_NAME: Final = "certificate"
"""The credential's name in metrics and log where every certificate of the CA counts: what the CA writes is no label."""
_NAMES_IN_SAN: Final = frozenset({"DNS", "URI"})


def names_of(certificate: Mapping[str, Any]) -> set[str]:
    """The common name and the DNS and URI names of a certificate, as `SSLSocket.getpeercert` tells it."""
    found = {value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"}
    return found | {value for kind, value in certificate.get("subjectAltName", ()) if kind in _NAMES_IN_SAN}


class ClientCertificates:
    """`names`: who of the CA may post; none: everybody. `client_ca`: the CA's PEM as it is now; `now`: epoch seconds."""

    def __init__(self, names: tuple[str, ...], client_ca: Callable[[], bytes], now: Callable[[], float]) -> None:
        self._names = names
        self._client_ca = client_ca
        self._now = now

    def check(self, state: Mapping[str, Any]) -> str | None:
        """The credential's name of a connection (by ASGI's `state`), or None where it shows no certificate that counts."""
        certificate = state.get("peer_certificate")
        if certificate is None or self.is_stale(state):
            return None
        if not self._names:
            return ANY_NAME
        shown = names_of(certificate)
        return next((f"{ANY_NAME} {name}" for name in self._names if name in shown), None)

    def is_stale(self, state: Mapping[str, Any]) -> bool:
        """Whether the certificate was good when the connection began and is not any more: it ended, or its CA was replaced."""
        certificate = state.get("peer_certificate")
        if certificate is None:
            return False
        ended = ssl.cert_time_to_seconds(certificate["notAfter"]) <= self._now()
        return ended or getattr(state.get("tls"), "client_ca", b"") != self._client_ca()
