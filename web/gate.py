"""The gate before the dashboard: Host, methods, credentials, and the headers that every answer carries.

An ASGI middleware around the Quart app, so that it also holds for what the framework answers by itself.
Order: path is public (three) -> answered to anyone; Host -> 421; login, logout, static -> no credential needed;
otherwise a session cookie or `Authorization: Bearer`, where a viewer token is configured -> 401 (JSON, or the login page).
Wrong tokens are limited by address (429); that costs a right one in the header nothing. Never a token in a URL.
Counterparts: web/dashboard.py composes; web/sessions.py keeps the sessions; web/credentials.py the credentials.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import parse_qs, quote

import msgspec
import trio

from web.asgi import App, Receive, Scope, Send, answer, cookie_of, dressed, headers_of, read_body
from web.sessions import Failures, Sessions, SessionsStatistics, statistics

__all__ = ["FORM_MAX_BYTES", "PUBLIC_PATHS", "Access", "Gate", "TokenCheck", "host_name"]

PUBLIC_PATHS: Final = frozenset({"/metrics", "/healthz", "/readyz"})
"""Answered without a token and under any Host (kubelet probes use the pod's address); no name of the cluster in them."""
OPEN_PREFIX: Final = "/static/"
"""The package's own style, script and icon: the login page needs them, and they say nothing about the cluster."""
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
FORM_MAX_BYTES: Final = 8192
"""Largest login form. Overflow: 413."""
FORM_TIMEOUT_S: Final = 10.0
"""How long a login form may take to arrive. Overflow: 408."""


class TokenCheck(Protocol):
    """What is needed of the viewers' credentials (web/credentials.py)."""

    def check(self, token: bytes) -> str | None:
        """The credential's name if the token is right, else None; takes the same time for both."""
        ...


@dataclass(frozen=True, slots=True)
class Access:
    """Who may see the dashboard. `credentials` None: anyone who reaches it, which is only sound on loopback.

    `hosts`: names and addresses under which it is asked for, besides loopback's; without port.
    """

    loopback: bool = True
    tls: bool = False
    hosts: frozenset[str] = frozenset()
    credentials: TokenCheck | None = None
    sessions: Sessions = field(default_factory=Sessions)
    failures: Failures = field(default_factory=Failures)

    def __post_init__(self) -> None:
        if self.credentials is None and not self.loopback:
            raise ValueError("beyond loopback the dashboard needs a viewer token")

    @property
    def cookie(self) -> str:
        """The session cookie's name: over TLS bound to this host alone (RFC 6265bis, 4.1.3.2)."""
        return "__Host-protector-session" if self.tls else "protector-session"

    def statistics(self) -> SessionsStatistics:
        """Sessions and wrong tokens."""
        return statistics(self.sessions, self.failures)


def host_name(header: bytes) -> str | None:
    """The name or address in a Host header, without port, in lower case; None if it is malformed."""
    text = header.decode("latin-1").strip().lower()
    if text.startswith("["):
        name, bracket, port = text[1:].partition("]")
        port = port.removeprefix(":") if bracket and port.startswith(":") else port
    else:
        name, _, port = text.partition(":")
        name = name.removesuffix(".")
    if not name or (port and not (port.isascii() and port.isdigit())):
        return None
    return name


class Gate:
    """The middleware. `login_page(path, wrong)` renders the page that is shown for 401."""

    def __init__(
        self, app: App, access: Access, now: Callable[[], float], login_page: Callable[[str, str], str]
    ) -> None:
        self._app = app
        self._access = access
        self._now = now
        self._login_page = login_page
        self._hosts = LOOPBACK_NAMES | {host.lower().strip("[]").removesuffix(".") for host in access.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1000})  # there is none here
            return
        path: str = scope["path"]
        guarded = dressed(send, cacheable=path.startswith(OPEN_PREFIX), with_body=scope["method"] != "HEAD")
        if path in PUBLIC_PATHS:
            await self._app(_named_localhost(scope), receive, guarded)
        elif not self._host_is_ours(scope):
            await answer(guarded, receive, 421, b"Not a name of this server.\n")
        elif path in ("/login", "/logout") and self._access.credentials is not None:
            await self._session_route(scope, receive, guarded)
        elif path.startswith(OPEN_PREFIX) or self._access.credentials is None:
            await self._app(scope, receive, guarded)
        else:
            await self._credential_route(scope, receive, guarded)

    def _host_is_ours(self, scope: Scope) -> bool:
        headers = headers_of(scope, b"host")
        name = host_name(headers[0]) if len(headers) == 1 else None
        if name is None:
            return False
        if name in self._hosts:
            return True
        server = scope.get("server")  # the address that this very connection came to: no name, so nothing to rebind
        return server is not None and name == str(server[0]).lower()

    def _is_from_our_page(self, scope: Scope) -> bool:
        """Whether a form comes from a page of this server, by what browsers say of it; what says nothing of it is no browser."""
        if headers_of(scope, b"sec-fetch-site") not in ([], [b"same-origin"], [b"none"]):
            return False
        origins = headers_of(scope, b"origin")
        if not origins:
            return True
        scheme, separator, authority = origins[0].lower().partition(b"://")
        schemes = (b"https",) if self._access.tls else (b"http", b"https")  # https: what ends TLS before loopback
        is_ours = (
            bool(separator) and scheme in schemes and [authority] == [h.lower() for h in headers_of(scope, b"host")]
        )
        return len(origins) == 1 and is_ours

    async def _credential_route(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A session, or a right token in the header, gets through; a wrong or no token is told how to come in."""
        if self._session_of(scope) is not None:
            await self._app(scope, receive, send)
            return
        offered = headers_of(scope, b"authorization")
        wait_s, right = 0.0, False
        if offered:
            scheme, _, token = offered[0].partition(b" ")
            right = scheme.lower() == b"bearer" and self._is_right(token.strip())
            wait_s = 0.0 if right else self._count_wrong(scope)
        if right:
            await self._app(scope, receive, send)
        elif wait_s:
            await answer(send, receive, 429, b"Too many wrong tokens.\n", (b"retry-after", b"%d" % (int(wait_s) + 1)))
        elif scope["path"].startswith("/api/"):
            body = msgspec.json.encode({"error": "a viewer token is needed: Authorization: Bearer <token>"})
            challenge = (b"www-authenticate", b'Bearer realm="protector"')
            await answer(send, receive, 401, body, (b"content-type", b"application/json"), challenge)
        else:
            query = scope.get("query_string", b"").decode("latin-1")
            page = self._login_page(quote(scope["path"]) + (f"?{query}" if query else ""), "")
            await answer(send, receive, 401, page.encode(), (b"content-type", b"text/html; charset=utf-8"))

    async def _session_route(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        if scope["path"] == "/login" and method in ("GET", "HEAD"):
            page = self._login_page("/", "")
            await answer(send, receive, 200, page.encode(), (b"content-type", b"text/html; charset=utf-8"))
        elif method != "POST":
            allow = b"GET, HEAD, POST" if scope["path"] == "/login" else b"POST"
            await answer(send, receive, 405, b"Method not allowed.\n", (b"allow", allow))
        elif not self._is_from_our_page(scope):
            await answer(send, receive, 403, b"Only from this server's own pages.\n")
        elif scope["path"] == "/logout":
            session = cookie_of(scope, self._access.cookie)
            if session is not None:
                self._access.sessions.end(session)
            await answer(send, receive, 303, b"", (b"location", b"/login"), self._set_cookie("", 0))
        else:
            await self._login(scope, receive, send)

    async def _login(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = None
        with trio.move_on_after(FORM_TIMEOUT_S) as deadline:
            body = await read_body(receive, FORM_MAX_BYTES)
        if deadline.cancelled_caught:
            await answer(send, receive, 408, b"Too slow.\n")
            return
        if body is None:
            await answer(send, receive, 413, b"Too large.\n")
            return
        form = parse_qs(body.decode("latin-1"))
        target = _own_path(form.get("next", ["/"])[0])
        wait_s = self._access.failures.wait_s(_peer(scope), self._now())  # a form can wait, even with a right token
        if not wait_s and self._is_right(form.get("token", [""])[0].strip().encode("utf-8", "surrogateescape")):
            session = self._access.sessions.open(self._now())
            cookie = self._set_cookie(session, int(self._access.sessions.ttl_s))
            await answer(send, receive, 303, b"", (b"location", target.encode("latin-1", "replace")), cookie)
            return
        wait_s = wait_s or self._count_wrong(scope)
        wrong = f"Too many wrong tokens. Try again in {int(wait_s) + 1} s." if wait_s else "That is no viewer token."
        page = self._login_page(target, wrong).encode()
        extra = ((b"retry-after", b"%d" % (int(wait_s) + 1)),) if wait_s else ()
        status = 429 if wait_s else 401
        await answer(send, receive, status, page, (b"content-type", b"text/html; charset=utf-8"), *extra)

    def _is_right(self, token: bytes) -> bool:
        credentials = self._access.credentials
        return credentials is None or (bool(token) and credentials.check(token) is not None)

    def _count_wrong(self, scope: Scope) -> float:
        """Counts a wrong token of this peer: 0.0; where it is over the bound already, after how many seconds it may try again."""
        failures, peer, now = self._access.failures, _peer(scope), self._now()
        wait_s = failures.wait_s(peer, now)
        if not wait_s:
            failures.count(peer, now)
        return wait_s

    def _session_of(self, scope: Scope) -> str | None:
        session = cookie_of(scope, self._access.cookie)
        return session if session is not None and self._access.sessions.holds(session, self._now()) else None

    def _set_cookie(self, value: str, max_age_s: int) -> tuple[bytes, bytes]:
        secure = "; Secure" if self._access.tls else ""
        text = f"{self._access.cookie}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}"
        return (b"set-cookie", text.encode())


def _peer(scope: Scope) -> str:
    return str((scope.get("client") or ("",))[0])


def _own_path(target: str) -> str:
    """The target if it is a path of this server in plain ASCII, otherwise "/": a login never leads elsewhere."""
    plain = target.isascii() and target.isprintable() and "\\" not in target
    return target if plain and target.startswith("/") and not target.startswith("//") else "/"


def _named_localhost(scope: Scope) -> Scope:
    """The scope with a Host that the framework can parse: these paths are answered whatever the client called us."""
    headers = [(key, value) for key, value in scope["headers"] if key.lower() != b"host"]
    return {**scope, "headers": [*headers, (b"host", b"localhost")]}
