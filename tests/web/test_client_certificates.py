"""Client certificates in the place of a token, from a CA of the test's own, over real TLS."""

from __future__ import annotations

import datetime as dt
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from edge_kit import h2_client, post, response, served
from trio_run import run

from actors.config import ConfigError, from_environment, settings_from
from actors.messages import BatchAnswer, ParsedBatch
from web.certificates import ClientCertificates, names_of
from web.credentials import NoTokens, Tokens
from web.guard import Guard, Unauthorized
from web.ingest import make_audit_app
from web.tls import ServerTls

CLIENT_AUTH, SERVER_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
DAY = dt.timedelta(days=1)


class Authority:
    """A CA of senders, and the certificates that it signs."""

    def __init__(self, folder: Path, name: str = "senders") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._sign(name, name, self._key.public_key(), is_ca=True)
        self.file = folder / "ca.crt"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(
        self, name: str, issuer: str, key: Any, *, is_ca: bool, usage: Any = None, san: str = ""
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if san:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(san)]), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def client(self, name: str, *, usage: Any = CLIENT_AUTH, san: str = "") -> Path:
        """A file with a certificate for this name and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(name, self._name, key.public_key(), is_ca=False, usage=usage, san=san)
        file = self.folder / f"{name}-{certificate.serial_number}.pem"
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + pem)
        return file


class House:
    """An audit application that takes certificates of `ca`, and what its listener needs."""

    def __init__(self, folder: Path, ca: Authority, *names: str, with_tokens: bool = True) -> None:
        self.tls = ServerTls(state_dir=folder / "state", client_ca=ca.file, now=time.time())
        self.later_s = 0.0
        right = Tokens(inline="right-token", listener="audit", setting="PROTECTOR_INGEST_TOKEN")
        tokens = right if with_tokens else NoTokens()
        self.guard = Guard(tokens, rate_per_s=1000.0, burst=1000, max_body_bytes=1 << 20)
        certificates = ClientCertificates(
            names, lambda: self.tls.context().client_ca, lambda: time.time() + self.later_s
        )
        self.app = make_audit_app(
            _Parser(), _Parser(), _Store(), self.guard, _Cap(), lambda: False, certificates=certificates
        )

    def client(self, certificate: Path | None, *alpn: str) -> ssl.SSLContext:
        """What a sender has."""
        context = ssl.create_default_context(cafile=str(self.tls.files.ca))
        if certificate is not None:
            context.load_cert_chain(certificate)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context


class _Parser:
    async def ask(self, message: Any, *, timeout_s: float) -> ParsedBatch:
        return ParsedBatch(digest=b"", received_at=message.received_at, events=1, reads=())


class _Store:
    async def ask(self, message: Any, *, timeout_s: float) -> BatchAnswer:
        return BatchAnswer(events=1, reads=1, new=1, dropped={})


class _Cap:
    max_body_bytes = 1 << 20
    body_timeout_s = 20.0


async def _ask(server: Any, client: ssl.SSLContext, headers: str = "") -> int:
    """The status of one batch on a new connection; 0 where TLS said no."""
    tcp = await server.connect_tcp()
    stream = trio.SSLStream(tcp, client, server_hostname="localhost", https_compatible=True)
    try:
        await stream.send_all(post("/audit", body=b"{}", headers=headers))
    except trio.BrokenResourceError:
        return 0
    return (await response(stream))[0]


RIGHT, WRONG = "Authorization: Bearer right-token\r\n", "Authorization: Bearer wrong\r\n"


@pytest.mark.parametrize(
    ("shown", "names", "headers", "expected"),
    [
        # every certificate of the CA counts where no names are given
        ("api", (), "", 200),
        ("api", (), WRONG, 200),
        # none is shown: the token is asked for, as ever
        (None, (), "", 401),
        (None, (), WRONG, 401),
        (None, (), RIGHT, 200),
        # with names: the common name or a DNS name has to be one of them, or the token right
        ("api", ("api",), "", 200),
        ("api", ("other", "api.internal"), "", 200),
        ("api", ("other",), "", 401),
        ("api", ("other",), RIGHT, 200),
        ("api", ("ap", "api.", "*"), "", 401),
        # another CA's, or one that is no client's: no connection
        ("stranger", (), RIGHT, 0),
        ("server", (), RIGHT, 0),
    ],
)
def test_who_gets_in(tmp_path: Path, shown: str | None, names: tuple[str, ...], headers: str, expected: int) -> None:
    """A certificate of the CA for an allowed name counts as a token does; one of another CA ends the handshake."""
    ca = Authority(tmp_path / "senders")
    house = House(tmp_path, ca, *names)
    made = {
        None: lambda: None,
        "api": lambda: ca.client("api", san="api.internal"),
        "stranger": lambda: Authority(tmp_path / "others", "others").client("api"),
        "server": lambda: ca.client("api", usage=SERVER_AUTH),
    }

    async def main() -> int:
        async with served(house.app, tls=house.tls.context) as server:
            status = await _ask(server, house.client(made[shown]()), headers)
            assert await _ask(server, house.client(None), RIGHT) == 200
            assert server.listener.statistics().failures == {}
            return status

    assert run(main, real_time=True) == expected


def test_a_connection_lives_on_its_certificate_over_http2(tmp_path: Path) -> None:
    """Many batches on one connection, counted under the allowed name; no token is configured at all."""
    ca = Authority(tmp_path / "senders")
    house = House(tmp_path, ca, "api", with_tokens=False)

    async def main() -> dict[str, int]:
        async with (
            served(house.app, tls=house.tls.context) as server,
            h2_client(server, context=house.client(ca.client("api"), "h2")) as client,
        ):
            for _ in range(3):
                stream_id = await client.open("/audit")
                await client.send(stream_id, b"{}", end=True)
                assert (await client.answer(stream_id)).status == 200
            return house.guard.statistics().admitted

    assert run(main, real_time=True) == {"certificate api": 3}


def test_a_replaced_ca_ends_what_was_signed_by_the_old_one(tmp_path: Path) -> None:
    """On an open connection too: 503 (never 401, which loses the batch) and its end; the new CA's certificate is in at once."""
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    house = House(tmp_path, old)

    async def main() -> list[Any]:
        async with served(house.app, tls=house.tls.context) as server:
            tcp = await server.connect_tcp()
            stream = trio.SSLStream(
                tcp, house.client(old.client("api")), server_hostname="localhost", https_compatible=True
            )
            await stream.send_all(post("/audit", body=b"{}"))
            first = (await response(stream))[0]
            old.file.write_bytes(new.file.read_bytes())
            assert house.tls.refresh(time.time() + 3600)
            await stream.send_all(post("/audit", body=b"{}"))
            status, headers, _ = await response(stream)
            again = await _ask(server, house.client(old.client("api")))
            fresh = await _ask(server, house.client(new.client("api")))
            return [first, status, headers[b"connection"], headers[b"retry-after"], again, fresh]

    assert run(main, real_time=True) == [200, 503, b"close", b"5", 0, 200]


def test_a_certificate_that_ends_ends_with_its_connection(tmp_path: Path) -> None:
    """What was valid when the connection began is not for ever."""
    ca = Authority(tmp_path / "senders")
    house = House(tmp_path, ca)

    async def main() -> list[int]:
        async with served(house.app, tls=house.tls.context) as server:
            tcp = await server.connect_tcp()
            stream = trio.SSLStream(
                tcp, house.client(ca.client("api")), server_hostname="localhost", https_compatible=True
            )
            statuses = []
            for later_s in (0.0, 3 * 86400.0):
                house.later_s = later_s
                await stream.send_all(post("/audit", body=b"{}"))
                statuses.append((await response(stream))[0])
            return statuses

    assert run(main, real_time=True) == [200, 503]


def test_names_are_those_of_subject_and_alternative_names() -> None:
    """Common name, DNS and URI; addresses and other parts of the subject are no names."""
    certificate = {
        "subject": ((("organizationName", "system:masters"),), (("commonName", "kube-apiserver"),)),
        "subjectAltName": (("DNS", "api.internal"), ("IP Address", "192.0.2.1"), ("URI", "spiffe://x/api")),
    }
    assert names_of(certificate) == {"kube-apiserver", "api.internal", "spiffe://x/api"}
    assert names_of({}) == set()


def test_no_token_is_right_where_none_is_configured() -> None:
    """Not the empty one either."""
    guard = Guard(NoTokens(), rate_per_s=1.0, burst=1, max_body_bytes=1)
    verdicts = [guard.admit(headers, "192.0.2.1", 0.0) for headers in ([], [b"Bearer "], [b"Bearer x"])]
    assert all(isinstance(verdict, Unauthorized) for verdict in verdicts)
    assert NoTokens().refresh(0.0) is False


AUDIT = {"PROTECTOR_AUDIT_ADDR": "127.0.0.1:9443"}


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"PROTECTOR_TLS_CLIENT_CA": "ca.crt"}, None),
        ({"PROTECTOR_TLS_CLIENT_CA": "ca.crt", "PROTECTOR_TLS_CLIENT_NAMES": "api"}, None),
        ({"PROTECTOR_TLS_CLIENT_CA": "ca.crt", "PROTECTOR_PLAINTEXT": "1"}, "needs a token"),
        ({}, "needs a token"),
        ({"PROTECTOR_INGEST_TOKEN": "x", "PROTECTOR_TLS_CLIENT_NAMES": "api"}, "PROTECTOR_TLS_CLIENT_CA"),
    ],
)
def test_a_start_needs_a_token_or_a_ca(environment: dict[str, str], says: str | None) -> None:
    """Certificates alone are enough, where there is TLS; names without a CA are a mistake."""
    found = from_environment(AUDIT | environment)
    if says is None:
        assert settings_from(found).has_client_certificates_only
    else:
        with pytest.raises(ConfigError, match=says):
            settings_from(found)
