"""The servers that are measured, each a process of its own: protector, and the bare handler it is held against."""

from __future__ import annotations

import http.client
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Server:
    """A process with an HTTP port for bodies."""

    token = ""
    path = "/audit?timeout=30s"

    def __init__(self, command: list[str], environment: dict[str, str], port: int) -> None:
        base = {k: v for k, v in os.environ.items() if not k.startswith("PROTECTOR_")}
        self.port = port
        self.process = subprocess.Popen(command, cwd=ROOT, env=base | environment, stdout=subprocess.DEVNULL)

    def wait(self, port: int, path: str, limit_s: float = 60.0) -> None:
        """Until GET on that port answers 200."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.process.args} ended with {self.process.returncode}")
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                connection.request("GET", path)
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            finally:
                connection.close()
            time.sleep(0.05)
        raise RuntimeError("not ready")

    def stop(self) -> None:
        """Ends it."""
        self.process.terminate()
        self.process.wait(30)


class Protector(Server):
    """`protector serve` on a generated cluster."""

    def __init__(self, cluster: str, *, store: str, plaintext: bool = True, **settings: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        state = Path(self.folder.name)
        (state / "cluster.json").write_text(cluster)
        self.dashboard = free_port()
        self.token = secrets.token_hex(16)
        self.ca = state / "state/tls/ca.crt"
        port = free_port()
        environment = {
            "PROTECTOR_AUDIT_ADDR": f"127.0.0.1:{port}",
            "PROTECTOR_DASHBOARD_ADDR": f"127.0.0.1:{self.dashboard}",
            "PROTECTOR_INGEST_TOKEN": self.token,
            "PROTECTOR_CLUSTER": str(state / "cluster.json"),
            "PROTECTOR_STATE_DIR": str(state / "state"),
            "PROTECTOR_STORE": store.replace("STATE", str(state)),
        }
        environment |= {"PROTECTOR_PLAINTEXT": "1"} if plaintext else {}
        super().__init__([sys.executable, "-m", "web.cli", "serve"], environment | settings, port)
        self.wait(self.dashboard, "/readyz")

    def metric(self, name: str) -> float:
        """One value of /metrics."""
        connection = http.client.HTTPConnection("127.0.0.1", self.dashboard, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + " "))

    def stop(self) -> None:
        """Ends it, and its folder with it."""
        super().stop()
        self.folder.cleanup()


class Bare(Server):
    """A Quart-Trio handler that reads the body and decodes it into the same structs, and nothing else."""

    def __init__(self) -> None:
        port = free_port()
        super().__init__([sys.executable, "-m", "tests.bench.bare", str(port)], {}, port)
        self.wait(port, "/")


class Client:
    """A keep-alive HTTP/1.1 connection to one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def post(self, body: bytes) -> bytes:
        """The answer's body; RuntimeError for anything but 200."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._server.token}"}
        self._connection.request("POST", self._server.path, body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} {content[:200]!r}")
        return content
