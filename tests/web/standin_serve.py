"""A stand-in for `serve`, run as a process of its own: TLS ingest and a dashboard that lights one chain after a first batch.

STANDIN says how it behaves: `good`; `dark` (nothing is ever lit); `bright` (all is lit from the start); `dies`; `ends` (after
the first batch); `stubborn` (does not hear SIGTERM). STANDIN_CHAINS is a file with the chain; STANDIN_PID gets its pid.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from web.localca import ensure_local_certificate

HOW = os.environ["STANDIN"]
CHAIN = json.loads(Path(os.environ["STANDIN_CHAINS"]).read_text())
TOKEN = Path(os.environ["PROTECTOR_INGEST_TOKEN_FILE"]).read_text().strip()
got = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Ingest(Handler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Authorization"] != f"Bearer {TOKEN}" or self.path != "/audit?timeout=30s":
            self.answer(401, {})
            return
        if HOW == "good" and not got.is_set():
            flip = {
                "event": "chain.corroborated",
                "workload": "Pod/n/p\x1b[2J",
                "secret": "n/key",
                "service_account": "n/sa",
            }
            sys.stdout.write(json.dumps(flip) + "\n")
            sys.stdout.flush()
        got.set()
        self.answer(200, {"events": 1})
        if HOW == "ends":
            os._exit(7)


class Dashboard(Handler):
    def do_GET(self):
        lit = HOW == "bright" or (HOW in ("good", "stubborn") and got.is_set())
        chain = {**CHAIN, "corroborated": lit, "corroboration": "proven" if lit else None}
        self.answer(200, {"chains": [chain], "evidence": [], "next_cursor": None, "counts": {"duplicates": 0}})


def port(name):
    host, _, number = os.environ[name].partition(":")
    return host, int(number)


def main():
    Path(os.environ["STANDIN_PID"]).write_text(str(os.getpid()))
    if HOW == "dies":
        sys.stderr.write("protector: something is wrong\n")
        sys.exit(2)
    if HOW == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tls = Path(os.environ["PROTECTOR_STATE_DIR"]) / "tls"
    ensure_local_certificate(tls, ("localhost", "127.0.0.1"), now=time.time())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / "server.crt", tls / "server.key")
    ingest = ThreadingHTTPServer(port("PROTECTOR_AUDIT_ADDR"), Ingest)
    ingest.socket = context.wrap_socket(ingest.socket, server_side=True)
    dashboard = ThreadingHTTPServer(port("PROTECTOR_DASHBOARD_ADDR"), Dashboard)
    serving = threading.Thread(target=ingest.serve_forever, daemon=True)  # noqa: TID251 - a process of its own, no actor
    serving.start()
    dashboard.serve_forever()


if __name__ == "__main__":
    main()
