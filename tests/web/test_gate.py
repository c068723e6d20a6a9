"""The gate: Host, public paths, tokens, sessions, methods, headers on every answer; by ASGI, over an app that only says "in"."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import web_stand_ins as w
from trio_run import run

from web.asgi import SECURITY_HEADERS
from web.dashboard import make_dashboard
from web.gate import FORM_MAX_BYTES, PUBLIC_PATHS, Access, Gate, host_name
from web.sessions import FAILURES_BURST

TOKEN = "right-token"


class Tokens:
    """One right token."""

    def check(self, token: bytes) -> str | None:
        return "token-1" if token == TOKEN.encode() else None


class Answer:
    """What one request was answered with."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    @property
    def is_in(self) -> bool:
        return self.body == b"in"

    @property
    def cookie(self) -> str:
        return self.headers["set-cookie"].split(";")[0]


async def inner(scope: Any, receive: Any, send: Any) -> None:
    """The app behind the gate."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"Cache-Control", b"max-age=9")]})
    await send({"type": "http.response.body", "body": b"in", "more_body": False})


def gate(access: Access, clock: w.FixedClock | None = None) -> Gate:
    return Gate(
        inner, access, (clock or w.FixedClock()).now, lambda target, wrong: f"login page; next={target}; {wrong}"
    )


async def ask(
    app: Gate,
    path: str,
    *,
    method: str = "GET",
    host: str | None = "localhost:8080",
    headers: dict[str, str] | None = None,
    query: bytes = b"",
    body: bytes = b"",
    is_cut: bool = False,
    client: str = "192.0.2.7",
) -> Answer:
    answer = Answer()
    pairs = [(k.encode(), v.encode("latin-1")) for k, v in (headers or {}).items()]
    if host is not None:
        pairs.append((b"host", host.encode("latin-1")))
    scope = {
        "type": "http", "http_version": "1.1", "scheme": "http", "root_path": "", "asgi": {}, "extensions": {},
        "method": method, "path": path, "query_string": query, "headers": pairs,
        "client": (client, 5), "server": ("10.1.2.3", 8080),
    }  # fmt: skip
    parts = [body[i : i + 4096] for i in range(0, len(body), 4096)] or [b""]

    async def receive() -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        if parts:
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts) or is_cut}
        await trio.sleep_forever()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            names = [name.lower() for name, _ in message["headers"]]
            assert len(set(names)) == len(names), f"a header twice: {names}"
            answer.headers = {k.decode().lower(): v.decode("latin-1") for k, v in message["headers"]}
        else:
            answer.body += message["body"]

    await app(scope, receive, send)
    return answer


BEYOND = {"loopback": False, "tls": True, "hosts": frozenset({"protector.example"})}


@pytest.mark.parametrize(
    ("host", "is_answered"),
    [
        # loopback's names, with and without port
        ("localhost", True),
        ("LOCALHOST:8080", True),
        ("localhost.", True),
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        # a configured name, and the address that the connection came to
        ("protector.example", True),
        ("10.1.2.3:8080", True),
        # DNS rebinding, garbage, nothing
        ("evil.example", False),
        ("protector.example.evil.example", False),
        ("localhost:8080:1", False),
        ("localhost@evil.example", False),
        ("evil.example#localhost", False),
        ("[::1", True),
        ("", False),
        ("localhost:x", False),
        (None, False),
        ("\xff\xfe", False),
    ],
)
def test_host(host, is_answered):
    """Only our own names are answered; anything else is 421."""
    answer = run(lambda: ask(gate(Access(hosts=frozenset({"Protector.example"}))), "/", host=host))
    assert (answer.status, answer.is_in) == ((200, True) if is_answered else (421, False))


def test_two_hosts_are_refused():
    """Two Host headers are no Host."""
    answer = run(lambda: ask(gate(Access()), "/", headers={"Host": "localhost"}))
    assert answer.status == 421


@pytest.mark.parametrize("path", sorted(PUBLIC_PATHS))
def test_public_paths_answer_any_host_without_token(path):
    """Probes and scrapes need neither a known Host nor a token."""
    access = Access(credentials=Tokens(), **BEYOND)
    for host in ("10.9.9.9:8080", "evil.example", None, "\xff"):
        assert run(lambda host=host: ask(gate(access), path, host=host)).is_in


def test_public_paths_through_the_whole_app():
    """A Host that the framework could not parse is no hindrance to a probe."""

    async def main() -> Answer:
        app = make_dashboard(w.made_up(), Access())
        return await ask(app.asgi_app, "/healthz", host="\xff[bad]:::")

    answer = run(main)
    assert (answer.status, answer.body) == (200, b"ok\n")


def test_loopback_without_token_is_open():
    """On loopback, with no token configured, no token is needed."""
    assert run(lambda: ask(gate(Access()), "/api/chains")).is_in


def test_loopback_with_token_needs_it():
    """A configured token counts on loopback too."""
    assert run(lambda: ask(gate(Access(credentials=Tokens())), "/api/chains")).status == 401


def test_beyond_loopback_without_token_is_our_bug():
    """Such access rules cannot even be made."""
    with pytest.raises(ValueError, match="viewer token"):
        Access(loopback=False)


@pytest.mark.parametrize(
    ("header", "is_in"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer   {TOKEN} ", True),
        ("Bearer wrong", False),
        ("Bearer", False),
        (f"Basic {TOKEN}", False),
        (TOKEN, False),
        ("", False),
    ],
)
def test_bearer(header, is_in):
    """The right token in the header gets in; an API answer of 401 is JSON and says how."""
    access = Access(credentials=Tokens(), **BEYOND)
    answer = run(lambda: ask(gate(access), "/api/chains", headers={"authorization": header}))
    assert answer.is_in == is_in
    if not is_in:
        assert (answer.status, answer.headers["content-type"]) == (401, "application/json")
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_token_in_the_url_is_no_token():
    """A token in the query gets nobody in."""
    access = Access(credentials=Tokens(), **BEYOND)
    answer = run(lambda: ask(gate(access), "/api/chains", query=f"token={TOKEN}".encode()))
    assert answer.status == 401


def test_page_without_session_is_the_login_page():
    """A browser gets the login page in place, which knows where to go after it; the static files it needs are open."""
    access = Access(credentials=Tokens(), **BEYOND)
    answer = run(lambda: ask(gate(access), "/chains/é", query=b"secret=a/b"))
    assert (answer.status, answer.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert b"next=/chains/%C3%A9?secret=a/b" in answer.body
    assert run(lambda: ask(gate(access), "/static/style.css")).is_in


async def login(app: Gate, token: str = TOKEN, target: str = "/", **more: Any) -> Answer:
    from urllib.parse import urlencode

    body = urlencode({"token": token, "next": target}).encode()
    return await ask(app, "/login", method="POST", body=body, **more)


def test_login_session_logout():
    """A right token is traded for a cookie that gets in until it is ended or 12 hours are over, and that holds no token."""

    async def main() -> None:
        clock = w.FixedClock()
        app = gate(Access(credentials=Tokens(), **BEYOND), clock)
        answer = await login(app, target="/evidence?live=true")
        assert (answer.status, answer.headers["location"]) == (303, "/evidence?live=true")
        assert TOKEN not in answer.headers["set-cookie"]
        for part in ("__Host-protector-session=", "HttpOnly", "SameSite=Strict", "Secure", "Path=/", "Max-Age=43200"):
            assert part in answer.headers["set-cookie"]
        cookie = {"cookie": f"other=1; {answer.cookie}"}
        assert (await ask(app, "/api/chains", headers=cookie)).is_in
        clock.at += 12 * 3600 - 1
        assert (await ask(app, "/", headers=cookie)).is_in
        clock.at += 1
        assert (await ask(app, "/", headers=cookie)).status == 401
        again = {"cookie": (await login(app)).cookie}
        assert (await ask(app, "/logout", method="POST", headers=again)).status == 303
        assert (await ask(app, "/", headers=again)).status == 401

    run(main)


def test_cookie_over_plaintext_loopback():
    """Without TLS the cookie is not Secure, or a browser would not send it back."""
    answer = run(lambda: login(gate(Access(credentials=Tokens()))))
    assert answer.cookie.startswith("protector-session=")
    assert "Secure" not in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nset-cookie: x=y", "javascript:alert(1)", "é"],
)
def test_login_never_leads_elsewhere(target):
    """Whatever `next` is, a login leads to a path of this server."""
    assert run(lambda: login(gate(Access(credentials=Tokens())), target=target)).headers["location"] == "/"


def test_guessing_is_limited_per_peer():
    """After ten wrong tokens a peer waits, but for a right token in the header; others do not; after a while it may try again."""

    async def main() -> None:
        clock = w.FixedClock()
        access = Access(credentials=Tokens(), **BEYOND)
        app = gate(access, clock)
        for n in range(FAILURES_BURST):
            wrong = {"authorization": "Bearer wrong"}
            answer = await (login(app, "wrong") if n % 2 else ask(app, "/api/chains", headers=wrong))
            assert answer.status == 401
        limited = await ask(app, "/api/chains", headers={"authorization": "Bearer wrong"})
        assert (limited.status, int(limited.headers["retry-after"]) > 0) == (429, True)
        assert (await ask(app, "/api/chains", headers={"authorization": f"Bearer {TOKEN}"})).is_in
        assert (await login(app)).status == 429
        assert (await login(app, client="192.0.2.8")).status == 303
        clock.at += int(limited.headers["retry-after"])
        assert (await login(app)).status == 303
        assert (access.statistics().failures, access.statistics().limited) == (FAILURES_BURST, 2)

    run(main)


def test_session_is_not_limited():
    """Wrong tokens of a peer do not put out who has a session."""

    async def main() -> Answer:
        app = gate(Access(credentials=Tokens()))
        cookie = {"cookie": (await login(app)).cookie}
        for _ in range(FAILURES_BURST + 1):
            await login(app, "wrong")
        return await ask(app, "/", headers=cookie)

    assert run(main).is_in


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [("/login", "GET", 200), ("/login", "PUT", 405), ("/logout", "GET", 405), ("/login", "HEAD", 200)],
)
def test_login_methods(path, method, expected):
    """The login page is read by GET, posted to by POST; a link cannot log anybody out."""
    assert run(lambda: ask(gate(Access(credentials=Tokens())), path, method=method)).status == expected


@pytest.mark.parametrize(
    ("site", "expected"), [("cross-site", 403), ("same-site", 403), ("same-origin", 303), ("none", 303)]
)
def test_login_from_elsewhere(site, expected):
    """Another site cannot post to the login."""
    answer = run(lambda: login(gate(Access(credentials=Tokens())), headers={"sec-fetch-site": site}))
    assert answer.status == expected


@pytest.mark.parametrize(
    ("tls", "origin", "expected"),
    [
        (False, "http://localhost:8080", 303),
        (False, "HTTP://LOCALHOST:8080", 303),
        (False, "https://localhost:8080", 303),  # TLS may end before loopback
        (True, "https://localhost:8080", 303),
        (True, "http://localhost:8080", 403),
        # another port, another name, no page at all, nonsense
        (False, "http://localhost:9090", 403),
        (False, "http://evil.example", 403),
        (False, "null", 403),
        (False, "", 403),
        (False, "localhost:8080", 403),
        (False, "file://localhost:8080", 403),
    ],
)
def test_a_form_says_where_it_comes_from(tls, origin, expected):
    """Origin is this server's own, also where a browser sends no Sec-Fetch-Site."""
    answer = run(lambda: login(gate(Access(tls=tls, credentials=Tokens())), headers={"origin": origin}))
    assert answer.status == expected


def test_large_form_is_refused():
    """A form over the bound is 413, and its rest is thrown away while that is said."""
    big = b"token=" + b"x" * (FORM_MAX_BYTES * 20)
    assert run(lambda: ask(gate(Access(credentials=Tokens())), "/login", method="POST", body=big)).status == 413


def test_form_that_never_ends():
    """A form that does not arrive is given up after ten seconds."""

    async def main() -> tuple[int, float]:
        answer = await ask(gate(Access(credentials=Tokens())), "/login", method="POST", body=b"token=", is_cut=True)
        return answer.status, trio.current_time()

    assert run(main) == (408, pytest.approx(10.0))


def test_no_login_where_no_token_is_needed():
    """Without a viewer token there is nothing to sign in to."""
    assert run(lambda: login(gate(Access()))).is_in


@pytest.mark.parametrize("body", [b"", b"token", b"token=%ff%00&next=%ff", b"\xff\xfe", b"&" * 100, b"a=1&" * 50])
def test_malformed_form_is_a_wrong_token(body):
    """No form ends in anything but a wrong token."""
    assert run(lambda: ask(gate(Access(credentials=Tokens())), "/login", method="POST", body=body)).status == 401


def test_body_of_a_refused_request_is_thrown_away():
    """A refusal does not wait for the body, nor does the body hold it up."""
    answer = run(lambda: ask(gate(Access(credentials=Tokens())), "/api/x", method="POST", body=b"x" * 100_000))
    assert answer.status == 401


@pytest.mark.parametrize("path", ["/", "/static/style.css", "/login", "/nothing", "/healthz"])
def test_headers_on_every_answer(path):
    """Every answer carries the policy once; nothing but static files may be kept."""
    answer = run(lambda: ask(gate(Access(credentials=Tokens())), path))
    for name, value in SECURITY_HEADERS:
        assert answer.headers[name.decode()] == value.decode()
    assert answer.headers.get("cache-control") == ("max-age=9" if path.startswith("/static/") else "no-store")


def test_websockets_are_closed():
    """There is no websocket here."""

    async def main() -> list[str]:
        sent: list[str] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message["type"])

        await gate(Access())({"type": "websocket", "path": "/", "headers": []}, trio.sleep_forever, send)
        return sent

    assert run(main) == ["websocket.close"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"a.example:1", "a.example"),
        (b"[2001:db8::1]:443", "2001:db8::1"),
        (b"A.", "a"),
        (b":80", None),
        (b"a:b", None),
    ],
)
def test_host_name(header, expected):
    """Name or address, lower case, without port."""
    assert host_name(header) == expected
