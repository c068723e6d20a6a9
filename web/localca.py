"""The local CA and the server certificate that are made where no certificate is configured.

In `<state_dir>/tls/`: `ca.crt` is what senders trust, `server.crt` and `server.key` what the listeners show, `ca.key` what
renewals are signed with, so that they need no change at the senders. Extensions follow RFC 5280 closely enough for OpenSSL's
strict mode, which Python 3.13 has on by default, and for Go. Counterpart: web/tls.py, which loads the files.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import socket
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

__all__ = ["CA_DAYS", "NAMES_MAX", "RENEW_AT", "SERVER_DAYS", "TlsError", "TlsFiles", "ensure_local_certificate"]

CA_DAYS: Final = 3650
"""Life of the self-made CA: every sender holds a copy of it, so it has to outlast them."""
SERVER_DAYS: Final = 365
"""Life of the self-made server certificate: under the 398 days that some verifiers accept at most."""
RENEW_AT: Final = 1 / 3
"""Renewed when less than this share of its life is left: four months to notice a server that does not restart or refresh."""
BACKDATE: Final = dt.timedelta(hours=1)
"""Certificates are valid from an hour before they were made: senders' clocks lag."""
CA_RESERVE: Final = dt.timedelta(days=SERVER_DAYS + 1)
"""A CA with less left than this cannot sign a whole server certificate any more: both are made anew."""
NAMES_MAX: Final = 100
"""Names in one certificate. Overflow: TlsError at the start."""

log = structlog.get_logger(__name__)


class TlsError(Exception):
    """A certificate, key or CA cannot be used. The text is one line that names the file or the setting."""


class TlsFiles(Struct, frozen=True):
    """Where the listeners' certificate is. `ca`: what senders trust; None where the operator's own certificate is used."""

    certificate: Path
    key: Path
    ca: Path | None = None


def ensure_local_certificate(folder: Path, names: tuple[str, ...], *, now: float) -> TlsFiles:
    """The files of the local CA and of a server certificate for this machine and `names`; made or renewed where needed.

    What is there is kept while it is valid, belongs together and has the same names. `now`: epoch seconds.
    Raises TlsError for a name that no certificate can carry, OSError where the folder cannot be written.
    """
    at = dt.datetime.fromtimestamp(now, dt.UTC)
    files = TlsFiles(folder / "server.crt", folder / "server.key", folder / "ca.crt")
    wanted = _alternative_names(names)
    folder.mkdir(parents=True, exist_ok=True)
    authority = _load_pair(folder / "ca.crt", folder / "ca.key")
    if authority is not None and authority[0].not_valid_after_utc - at < CA_RESERVE:
        authority = None
    if authority is None:
        authority = _make_authority(at)
        _write_key(folder / "ca.key", authority[1])
        _write(folder / "ca.crt", authority[0].public_bytes(serialization.Encoding.PEM), 0o644)
        log.info("made a local certificate authority", file=str(folder / "ca.crt"))
    server = _load_pair(files.certificate, files.key)
    if server is None or not _is_usable(server[0], authority[0], wanted, at):
        certificate, key = _make_server(authority, wanted, at)
        _write_key(files.key, key)
        _write(files.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        log.info(
            "made a server certificate", file=str(files.certificate), until=str(certificate.not_valid_after_utc.date())
        )
    return files


def _alternative_names(names: tuple[str, ...]) -> tuple[x509.GeneralName, ...]:
    found: dict[x509.GeneralName, None] = {}
    for name in ("localhost", "127.0.0.1", "::1", *names):
        found[_general_name(name)] = None
    try:
        found[_general_name(socket.gethostname())] = None
    except TlsError:
        log.warning("the host's name cannot stand in a certificate; senders need another one of its names")
    if len(found) > NAMES_MAX:
        raise TlsError(f"PROTECTOR_TLS_NAMES: more than {NAMES_MAX} names")
    return tuple(found)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name.removeprefix("[").removesuffix("]")))
    except ValueError:
        pass
    labels = name.removeprefix("*.").removesuffix(".")
    try:
        ascii_name = labels.encode("idna").decode("ascii").lower()
    except UnicodeError:
        ascii_name = ""
    letters = ascii_name.replace("-", "").replace("_", "").replace(".", "")
    if not ascii_name or len(ascii_name) > 253 or not letters.isalnum():
        raise TlsError(f"PROTECTOR_TLS_NAMES: {name[:80]!r} is neither a DNS name nor an address")
    return x509.DNSName(("*." if name.startswith("*.") else "") + ascii_name)


_Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _load_pair(certificate_file: Path, key_file: Path) -> _Pair | None:
    """None where a file is missing, broken or of another kind, or the two do not belong together."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    except (FileNotFoundError, ValueError, TypeError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        return None
    return certificate, key


def _is_usable(
    certificate: x509.Certificate,
    authority: x509.Certificate,
    wanted: tuple[x509.GeneralName, ...],
    at: dt.datetime,
) -> bool:
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    if not certificate.not_valid_before_utc <= at < certificate.not_valid_after_utc - life * RENEW_AT:
        return False
    try:
        certificate.verify_directly_issued_by(authority)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return set(names) == set(wanted)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _make_authority(at: dt.datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    # The key's identifier in the name: a verifier that holds an older CA of ours too never confuses the two.
    mark = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()[:12]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"protector local CA {mark}")])
    certificate = (
        _builder(name, name, key.public_key())
        .not_valid_before(at - BACKDATE)
        .not_valid_after(at + dt.timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _make_server(authority: _Pair, names: tuple[x509.GeneralName, ...], at: dt.datetime) -> _Pair:
    ca, ca_key = authority
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "protector")])
    ca_mark = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        _builder(subject, ca.subject, key.public_key())
        .not_valid_before(at - BACKDATE)
        .not_valid_after(at + dt.timedelta(days=SERVER_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_mark), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return certificate, key


def _write_key(file: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(file, pem, 0o600)


def _write(file: Path, data: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others for a moment where it must not be."""
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    part.replace(file)
