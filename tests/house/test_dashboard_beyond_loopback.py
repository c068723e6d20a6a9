"""The dashboard on every address of the machine, as a process of its own: TLS, login, cookie, revocation, Host, Origin."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from serve_process import ServeProcess, until
from small_cluster import small_cluster

pytestmark = pytest.mark.slow
FIRST, SECOND = "first-viewer-token", "second-viewer-token"


class Browser:
    """Asks over TLS with the CA that protector made, and keeps the cookie."""

    def __init__(self, ca: Path, port: int) -> None:
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._port = port
        self.cookie = ""

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> http.client.HTTPResponse:
        """One request; the answer is read."""
        connection = http.client.HTTPSConnection("localhost", self._port, context=self._tls, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie:
            named["Cookie"] = self.cookie
        try:
            connection.request(method, path, body or None, named)
            answer = connection.getresponse()
            answer.body = answer.read()  # type: ignore[attr-defined]
        finally:
            connection.close()
        if set_cookie := answer.getheader("Set-Cookie"):
            self.cookie = set_cookie.partition(";")[0]
        return answer

    def login(self, token: str, **headers: str) -> http.client.HTTPResponse:
        """Posts the form as a page of this server does."""
        headers = {"Origin": f"https://localhost:{self._port}", "Sec_Fetch_Site": "same-origin"} | headers
        form = f"token={quote(token)}&next=/actors"
        return self.ask("POST", "/login", form, Content_Type="application/x-www-form-urlencoded", **headers)


class Serve(ServeProcess):
    """On every address, with its viewers' tokens in a file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, small_cluster().text())
        self.viewers = folder / "viewers"
        self.viewers.write_text(f"{FIRST}\n{SECOND}\n")
        self.settings["PROTECTOR_DASHBOARD_ADDR"] = f"0.0.0.0:{self.dashboard_port}"
        self.settings["PROTECTOR_VIEWER_TOKEN_FILE"] = str(self.viewers)

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Over TLS, once there is a CA to trust."""
        answer = self.browser().ask("GET", path, **headers)
        return answer.status, answer.body  # type: ignore[attr-defined]

    def browser(self) -> Browser:
        """A new one, without a cookie."""
        return Browser(self.state / "tls/ca.crt", self.dashboard_port)


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """One for all of these."""
    with Serve(tmp_path_factory.mktemp("beyond") / "serve") as running:
        yield running


def test_who_has_no_session_sees_the_login_page_and_nothing_else(serve: Serve) -> None:
    """Over TLS alone; names are checked, answers are not kept, a token in the URL is none."""
    browser = serve.browser()
    page = browser.ask("GET", "/actors")
    assert (page.status, page.getheader("Cache-Control")) == (401, "no-store")
    assert b"<form" in page.body  # type: ignore[attr-defined]
    assert "default-src 'none'" in (page.getheader("Content-Security-Policy") or "")
    assert browser.ask("GET", f"/api/chains?token={FIRST}").status == 401
    assert browser.ask("GET", "/actors", Host="evil.example").status == 421
    plain = http.client.HTTPConnection("localhost", serve.dashboard_port, timeout=20)
    plain.request("GET", "/healthz")
    with pytest.raises((http.client.HTTPException, OSError)):
        plain.getresponse()
    plain.close()


def test_login_opens_a_session_that_ends_with_its_token(serve: Serve) -> None:
    """The cookie is bound to this host and holds no token; a form from elsewhere opens none; a removed token ends it."""
    browser = serve.browser()
    assert browser.login("wrong").status == 401
    assert browser.login(FIRST, Origin="https://evil.example").status == 403
    assert browser.login(FIRST, Sec_Fetch_Site="cross-site").status == 403
    assert browser.cookie == ""
    answer = browser.login(FIRST)
    assert (answer.status, answer.getheader("Location")) == (303, "/actors")
    said = answer.getheader("Set-Cookie") or ""
    assert said.startswith("__Host-")
    assert {"HttpOnly", "Secure", "SameSite=Strict", "Path=/"} <= {part.strip() for part in said.split(";")}
    assert FIRST not in said
    assert browser.ask("GET", "/api/chains").status == 200
    serve.viewers.write_text(f"{SECOND}\n")
    until(lambda: browser.ask("GET", "/api/chains").status == 401, "the session ended with its token")
    assert browser.login(FIRST).status == 401
    assert browser.login(SECOND).status == 303
    assert browser.ask("GET", "/actors").status == 200


def test_logout_ends_the_session_on_the_server(serve: Serve) -> None:
    """The cookie that was kept elsewhere is worth nothing after it."""
    browser = serve.browser()
    assert browser.login(SECOND).status == 303
    kept = browser.cookie
    assert browser.ask("POST", "/logout").status == 303
    browser.cookie = kept
    assert browser.ask("GET", "/api/chains").status == 401
