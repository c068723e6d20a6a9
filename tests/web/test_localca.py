"""The self-made CA and certificate: what they hold, when they are kept, when they are made anew."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from web.localca import CA_DAYS, NAMES_MAX, RENEW_AT, SERVER_DAYS, TlsError, ensure_local_certificate

NOW = 1_800_000_000.0
DAY_S = 86_400.0


def _certificate(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def test_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    """ca.key and server.key are 0600 from the start; what senders need can be read."""
    ensure_local_certificate(tmp_path, (), now=NOW)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) & 0o077 for file in tmp_path.iterdir()}
    assert {name for name, mode in modes.items() if mode == 0} == {"ca.key", "server.key"}
    assert set(modes) == {"ca.crt", "ca.key", "server.crt", "server.key"}


def test_names_are_in_it(tmp_path: Path) -> None:
    """Loopback under its three names, the configured names as DNS names or addresses, internationalised ones as ASCII."""
    files = ensure_local_certificate(
        tmp_path, ("protector.svc", "10.0.0.9", "[fd00::1]", "*.example.org", "bücher.example"), now=NOW
    )
    names = _certificate(files.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    dns, addresses = names.get_values_for_type(x509.DNSName), names.get_values_for_type(x509.IPAddress)
    assert {"localhost", "protector.svc", "*.example.org", "xn--bcher-kva.example"} <= set(dns)
    assert {"127.0.0.1", "::1", "10.0.0.9", "fd00::1"} == {str(address) for address in addresses}


@pytest.mark.parametrize("name", ["no spaces", "", "a" * 300, "-.-", "x/y", "*."])
def test_a_name_that_no_certificate_can_carry_is_refused(tmp_path: Path, name: str) -> None:
    """One line that names the setting."""
    with pytest.raises(TlsError, match="PROTECTOR_TLS_NAMES"):
        ensure_local_certificate(tmp_path, (name,), now=NOW)


def test_too_many_names_are_refused(tmp_path: Path) -> None:
    """The bound is named."""
    with pytest.raises(TlsError, match=str(NAMES_MAX)):
        ensure_local_certificate(tmp_path, tuple(f"n{i}" for i in range(NAMES_MAX)), now=NOW)


def test_what_is_valid_is_kept(tmp_path: Path) -> None:
    """A second start with the same names, in any order, changes no file."""
    ensure_local_certificate(tmp_path, ("a", "b"), now=NOW)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    ensure_local_certificate(tmp_path, ("b", "a"), now=NOW + DAY_S)
    assert before == {file.name: file.read_bytes() for file in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("change", "later_s", "is_ca_kept"),
    [
        (lambda _: None, SERVER_DAYS * DAY_S * (1 - RENEW_AT) + 2 * DAY_S, True),  # due for renewal
        (lambda _: None, SERVER_DAYS * DAY_S * 2, True),  # ended while nobody ran
        (lambda _: None, -2 * DAY_S, True),  # the clock was set back: not valid yet
        (lambda _: None, (CA_DAYS - SERVER_DAYS) * DAY_S, False),  # the CA cannot sign a whole certificate any more
        (lambda d: (d / "server.key").unlink(), 0.0, True),
        (lambda d: (d / "server.crt").write_text("garbage"), 0.0, True),
        (lambda d: (d / "ca.key").unlink(), 0.0, False),  # nothing to sign with at the next renewal
        (lambda d: (d / "ca.crt").write_bytes(b""), 0.0, False),
        (lambda d: (d / "server.key").write_bytes((d / "ca.key").read_bytes()), 0.0, True),  # does not belong to it
    ],
)
def test_what_cannot_be_used_is_made_anew(tmp_path: Path, change: object, later_s: float, is_ca_kept: bool) -> None:
    """Renewed in time under the same CA; the CA itself only where it is lost or near its end."""
    files = ensure_local_certificate(tmp_path, (), now=NOW)
    ca, server = (tmp_path / "ca.crt").read_bytes(), files.certificate.read_bytes()
    change(tmp_path)  # type: ignore[operator]  # a table of functions
    ensure_local_certificate(tmp_path, (), now=NOW + later_s)
    assert files.certificate.read_bytes() != server
    assert ((tmp_path / "ca.crt").read_bytes() == ca) == is_ca_kept
    _certificate(files.certificate).verify_directly_issued_by(_certificate(tmp_path / "ca.crt"))


def test_changed_names_change_the_certificate_and_not_the_ca(tmp_path: Path) -> None:
    """Senders keep their copy of the CA."""
    files = ensure_local_certificate(tmp_path, (), now=NOW)
    ca, server = (tmp_path / "ca.crt").read_bytes(), files.certificate.read_bytes()
    ensure_local_certificate(tmp_path, ("new.example",), now=NOW)
    assert (tmp_path / "ca.crt").read_bytes() == ca
    assert files.certificate.read_bytes() != server


def test_an_interrupted_write_is_no_obstacle(tmp_path: Path) -> None:
    """What a crash left of a half-written file is replaced."""
    (tmp_path / ".ca.key.part").write_text("half")
    files = ensure_local_certificate(tmp_path, (), now=NOW)
    assert not (tmp_path / ".ca.key.part").exists()
    assert ssl.create_default_context(cafile=str(files.ca)).cert_store_stats()["x509_ca"] == 1


def test_extensions_are_what_strict_verifiers_want(tmp_path: Path) -> None:
    """RFC 5280: critical constraints and key usage, the authority's key identifier, a purpose; no CA below ours."""
    files = ensure_local_certificate(tmp_path, (), now=NOW)
    ca, server = _certificate(tmp_path / "ca.crt"), _certificate(files.certificate)
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = ca.extensions.get_extension_for_class(x509.KeyUsage)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    assert (usage.critical, usage.value.key_cert_sign) == (True, True)
    authority = server.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert authority.key_identifier == ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
