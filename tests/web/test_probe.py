"""The doctor's synthetic event: it goes through the whole path and leaves no trace but a count; each failure says what to do."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from edge_kit import client_tls, respond, served, server_tls
from serve_process import ServeProcess, free_port, protector
from small_cluster import small_cluster
from trio_run import run

from actors.config import Address
from web.expected_checks import Finding
from web.localca import ensure_local_certificate
from web.probe import ProbeError, Target, probe_findings, target_from

TAKEN = {"events": 1, "reads": 0, "new": 0, "dropped": {"probe": 1}, "duplicate": False}
TOKEN = "a-token-of-the-tests"


class Counts:
    """A dashboard that says these counts, one after another."""

    def __init__(self, *counts: int) -> None:
        self.counts = list(counts)

    def get(self, path: str) -> dict[str, Any]:
        assert path == "/api/status"
        count = self.counts.pop(0)
        return {"counts": {"dropped": {"probe": count} if count else {}}}


def target(port: int, context: ssl.SSLContext | None = None, server_name: str = "localhost") -> Target:
    return Target("127.0.0.1", port, "/audit", TOKEN, context, server_name)


def probed(
    status: int,
    answer: Any,
    *counts: int,
    aim: Callable[[int], Target] = lambda port: target(port, client_tls()),
    tls: bool = True,
) -> list[Finding]:
    """What is found at a listener that answers so."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (b"authorization", f"Bearer {TOKEN}".encode()) in scope["headers"]
        await receive()
        await respond(send, status, json.dumps(answer).encode())

    async def main() -> list[Finding]:
        async with served(app, tls=tls) as server:
            return await trio.to_thread.run_sync(partial(probe_findings, aim(server.port), Counts(*counts)))

    return run(main, real_time=True)


def test_an_event_that_is_taken_and_counted_is_no_finding() -> None:
    """Over TLS, and over plaintext where that is said."""
    assert probed(200, TAKEN, 0, 1) == []
    assert probed(200, TAKEN, 3, 4, aim=target, tls=False) == []


@pytest.mark.parametrize(
    ("status", "answer", "counts", "what", "hint"),
    [
        (401, {}, (0,), "the token is not taken", "--ingest-token-file"),
        (404, {}, (0,), "no audit listener at this path", "the path is /audit"),
        (429, {}, (0,), "over the rate", "PROTECTOR_RATE_PER_S"),
        (503, {}, (0,), "the store cannot write", "is the disk full?"),
        (302, {}, (0,), "answered 302", "what listens"),
        # 200, and yet not through
        (200, ["x"], (0,), "did not take it", "of this version"),
        (200, TAKEN | {"dropped": {"not_a_read": 1}}, (0,), "did not take it", "of this version"),
        (200, TAKEN, (5, 5), "has not counted it", "two different servers"),
    ],
)
def test_an_answer_that_is_none(status: int, answer: Any, counts: tuple[int, ...], what: str, hint: str) -> None:
    """One finding each, with its hint; the token is in neither."""
    (found,) = probed(status, answer, *counts)
    assert (what in found.what, hint in found.hint) == (True, True), found
    assert TOKEN not in found.what + found.hint + repr(target(1))


def test_a_certificate_that_is_another(tmp_path: Path) -> None:
    """Its name, or whose it is; and plaintext on one side alone."""
    assert server_tls().files.ca is not None
    (name,) = probed(200, TAKEN, 0, aim=lambda port: target(port, client_tls(), "protector.example"))
    assert "not for the name protector.example" in name.what
    assert "--tls-server-name" in name.hint
    other = ssl.create_default_context(cafile=str(ensure_local_certificate(tmp_path, (), now=1.8e9).ca))
    (trust,) = probed(200, TAKEN, 0, aim=lambda port: target(port, other))
    assert "is not trusted" in trust.what
    assert "--audit-ca" in trust.hint
    (plain,) = probed(200, TAKEN, 0, aim=lambda port: target(port, client_tls()), tls=False)
    assert "PROTECTOR_PLAINTEXT" in plain.hint


def test_nobody_there() -> None:
    """A port that nobody listens on, and a name that is none."""
    (refused,) = probe_findings(target(free_port()), Counts(0))
    assert "nothing listens there" in refused.what
    nowhere = Target("no-such-host.invalid", 9443, "/audit", TOKEN, None, "x")
    (unknown,) = probe_findings(nowhere, Counts(0))
    assert "cannot be resolved" in unknown.what


# --- where it goes -----------------------------------------------------------------------------------------------------


def test_the_target_comes_from_the_options_or_the_settings(tmp_path: Path) -> None:
    """As serve with these settings listens; an address to listen on everywhere is this machine."""
    assert target_from({}, None, None, None, None) is None
    settings = {"audit_addr": Address("0.0.0.0", 9443), "ingest_token": TOKEN, "state_dir": tmp_path}
    own = target_from(settings, None, None, None, None)
    assert own is not None
    assert (own.host, own.port, own.path, own.context is not None) == ("localhost", 9443, "/audit", True)
    plain = target_from(settings | {"plaintext": True}, None, None, None, None)
    assert plain is not None
    assert plain.context is None
    file = tmp_path / "token"
    file.write_text("other\nold\n")
    named = target_from(settings, "https://[2001:db8::1]/", server_tls().files.ca, file, "protector.example")
    assert named is not None
    assert (named.host, named.port, named.path, named.token, named.server_name) == (
        "2001:db8::1",
        443,
        "/",
        "other",
        "protector.example",
    )


@pytest.mark.parametrize(
    ("url", "settings", "said"),
    [
        ("ftp://x/audit", {"ingest_token": TOKEN}, "is no URL such as"),
        ("https://x:99999/audit", {"ingest_token": TOKEN}, "is no URL"),
        ("https://x/audit", {}, "no usable ingest token"),
        ("https://x/audit", {"ingest_token": "two words"}, "no usable ingest token"),
        ("https://x/audit", {"ingest_token_file": Path("/nonexistent")}, "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_said(url: str, settings: dict[str, Any], said: str) -> None:
    """One line, and nothing is sent."""
    with pytest.raises(ProbeError, match=said):
        target_from(settings, url, None, None, None)


def test_a_ca_that_is_none_is_said(tmp_path: Path) -> None:
    """Its path is in the line."""
    bad = tmp_path / "ca.crt"
    bad.write_text("nothing")
    with pytest.raises(ProbeError, match=r"ca\.crt of the audit listener"):
        target_from({"ingest_token": TOKEN}, "https://x/audit", bad, None, None)


# --- the whole path ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_doctor_of_a_server_that_nobody_sends_to(tmp_path: Path) -> None:
    """The event goes through, and the feed is as silent as before: it is no API server's, also not after a restart."""
    with ServeProcess(tmp_path / "serve", small_cluster().text()) as serve:
        url = f"http://127.0.0.1:{serve.dashboard_port}"
        ended = protector("doctor", "--server", url, **serve.settings)
        assert (ended.returncode, ended.stderr) == (1, b"")
        said = ended.stdout.decode()
        assert "no batch ever arrived" in said
        assert "synthetic event: fine" in said
        wrong = protector("doctor", "--server", url, **serve.settings | {"PROTECTOR_INGEST_TOKEN": "wrong"})
        assert "the token is not taken" in wrong.stdout.decode()
        serve.take(b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[]}')
        fine = protector("doctor", "--server", url, **serve.settings)
        assert (fine.returncode, fine.stdout.decode().splitlines()[0]) == (0, "audit feed: fine")
        status = serve.json("/api/status")
        assert status["counts"]["dropped"] == {"probe": 2}
        assert (status["counts"]["reads"], serve.all("evidence")) == (0, [])
        bad = protector("doctor", "--server", url, "--audit", "nonsense", **serve.settings)
        assert (bad.returncode, b"is no URL" in bad.stderr, bad.stdout) == (2, True, b"")
