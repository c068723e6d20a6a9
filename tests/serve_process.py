"""`protector serve` as a process of its own, over real sockets and TLS: started, asked, killed and started again.

Nothing here waits by sleeping for a guess: `until` polls with a deadline that only a failure reaches.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

T = TypeVar("T")

PATIENCE_S = 30.0
"""No step of a test may take longer; reached only by a failure."""
POLL_S = 0.02
PORTS = range(20_000, 32_000)
"""Below those that the kernel takes for outgoing connections."""


def until(look: Callable[[], T], what: str, *, within_s: float = PATIENCE_S) -> T:
    """What `look` gives, once that is true; fails with `what` and the last that it gave."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}; last: {found!r}"
        time.sleep(POLL_S)
    return found


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def clean_environment(**settings: str) -> dict[str, str]:
    """This process's environment without any setting of protector's but these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PROTECTOR_")}
    return kept | {"NO_COLOR": "1"} | settings


def protector(*arguments: str, stdin: bytes = b"", **settings: str) -> subprocess.CompletedProcess[bytes]:
    """Runs the command to its end."""
    command = [sys.executable, "-m", "web.cli", *arguments]
    return subprocess.run(
        command, input=stdin, capture_output=True, timeout=PATIENCE_S, env=clean_environment(**settings), check=False
    )


class ServeProcess:
    """One `serve` with a folder of its own; as a context manager it is running, and it is killed at the end."""

    def __init__(self, folder: Path, cluster: str, **settings: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.token = secrets.token_hex(16)
        self.audit_port, self.dashboard_port = free_port(), free_port()
        self.cluster_file = folder / "cluster.json"
        self.cluster_file.write_text(cluster)
        self.state = folder / "state"
        self._stdout, self._stderr = folder / "stdout", folder / "stderr"
        self.settings = {
            "PROTECTOR_AUDIT_ADDR": f"127.0.0.1:{self.audit_port}",
            "PROTECTOR_DASHBOARD_ADDR": f"127.0.0.1:{self.dashboard_port}",
            "PROTECTOR_INGEST_TOKEN": self.token,
            "PROTECTOR_CLUSTER": str(self.cluster_file),
            "PROTECTOR_STATE_DIR": str(self.state),
            "PROTECTOR_LOG": "json",
        } | settings
        self.process: subprocess.Popen[bytes] | None = None

    # --- the process ---

    def launch(self) -> None:
        """Starts it, and does not wait."""
        with self._stdout.open("ab") as out, self._stderr.open("ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "web.cli", "serve"],
                env=clean_environment(**self.settings),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def start(self) -> Self:
        """Starts it and waits until it is ready."""
        self.launch()
        until(self._ready, "serve is ready")
        return self

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"serve ended with {self.process.returncode}: {self.log}"
        try:
            return self.get("/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Sends the signal and waits for the end; the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self.process = None
        return code

    def outcome(self) -> tuple[int, list[str]]:
        """Runs it to its end, as where a start is refused: exit code and what it said on stderr."""
        self.launch()
        assert self.process is not None
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"serve went on: {self.log}") from None
        self.process = None
        return code, self.log.splitlines()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end()

    # --- what it says ---

    @property
    def log(self) -> str:
        """Its stderr so far, of all its runs."""
        return self._stderr.read_text(errors="replace")

    @property
    def said(self) -> bytes:
        """Its stdout so far, of all its runs, as it is."""
        return self._stdout.read_bytes()

    @property
    def flips(self) -> list[dict[str, Any]]:
        """The flip log so far, of all its runs."""
        return [json.loads(line) for line in self.said.splitlines()]

    def lit_flips(self) -> list[str]:
        """Which chains were said to be corroborated, in order."""
        return [flip["chain"] for flip in self.flips if flip["event"] == "chain.corroborated"]

    # --- the dashboard ---

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Status and body of one question to the dashboard."""
        connection = http.client.HTTPConnection("127.0.0.1", self.dashboard_port, timeout=PATIENCE_S)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        """The answer as JSON; it must be 200."""
        status, body = self.get(path)
        assert status == 200, (path, status, body[:300])
        return json.loads(body)

    def all(self, what: str) -> list[dict[str, Any]]:
        """Every item of /api/chains or /api/evidence."""
        items: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.json(f"/api/{what}?limit=1000" + (f"&cursor={quote(cursor, safe='')}" if cursor else ""))
            items += page[what]
            if (cursor := page["next_cursor"] or "") == "":
                return items

    def lit(self) -> set[str]:
        """The ids of the chains that are corroborated."""
        return {chain["id"] for chain in self.all("chains") if chain["corroborated"]}

    def lit_workloads(self) -> set[str]:
        """The names of the workloads at the start of corroborated chains."""
        return {chain["entry"]["name"] for chain in self.all("chains") if chain["corroborated"]}

    # --- ingest ---

    def tls(self) -> ssl.SSLContext:
        """What a sender trusts: the CA that serve made, alone."""
        return ssl.create_default_context(cafile=str(self.state / "tls" / "ca.crt"))

    def connection(self) -> http.client.HTTPSConnection:
        """A new connection to the audit listener, as an API server's."""
        return http.client.HTTPSConnection("127.0.0.1", self.audit_port, timeout=PATIENCE_S, context=self.tls())

    def raw(self) -> ssl.SSLSocket:
        """A new TLS connection to the audit listener on which the test writes what it wants."""
        tcp = socket.create_connection(("127.0.0.1", self.audit_port), PATIENCE_S)
        return self.tls().wrap_socket(tcp, server_hostname="localhost")

    def post(
        self,
        body: bytes,
        *,
        path: str = "/audit?timeout=30s",
        method: str = "POST",
        token: str | None = "",
        connection: http.client.HTTPSConnection | None = None,
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers and the answer (JSON) of one batch. `token`: "" is the right one, None sends no header."""
        used = connection or self.connection()
        headers = {"Content-Type": "application/json", "User-Agent": "Go-http-client/2.0"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token or self.token}"
        try:
            if used.sock is None:
                used.connect()
            # Where it is answered before the whole body was sent, the answer is there to be read.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                used.request(method, path, body, headers)
            answer = used.getresponse()
            return (
                answer.status,
                {name.lower(): value for name, value in answer.getheaders()},
                json.loads(answer.read()),
            )
        finally:
            if connection is None:
                used.close()

    def report(self, body: bytes, path: str = "/behavior", token: str | None = None) -> tuple[int, Any]:
        """Posts to the behavior listener, where the settings have one: status and answer."""
        port = int(self.settings["PROTECTOR_BEHAVIOR_ADDR"].rpartition(":")[2])
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=PATIENCE_S, context=self.tls())
        headers = {"Authorization": f"Bearer {token or self.settings['PROTECTOR_BEHAVIOR_TOKEN']}"}
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def take(self, body: bytes) -> dict[str, Any]:
        """Posts a batch that must be taken; the answer."""
        status, _, answer = self.post(body)
        assert status == 200, (status, answer)
        return dict(answer)
