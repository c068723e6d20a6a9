"""The edge of one `serve`: the listeners, each with its application, credentials, limits and what is shown of it.

Counterparts: web/app.py starts it beside the pipeline; web/listener serves; ingest.py and dashboard.py are the applications.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version as installed_version
from typing import Any, Final

import trio
from msgspec import Struct

from actors.behaviors import ActsStatistics, ActsWindow
from actors.config import Address, Settings
from actors.runtime import Child, DeadLetter, Intensity, Reason, SupervisorSpec, System
from actors.tree import Refs
from web.behavior_ingest import make_behavior_app
from web.certificates import ClientCertificates
from web.credentials import CredentialsError, NoTokens, Tokens
from web.dashboard import make_dashboard
from web.events import EventHub
from web.gate import Access
from web.guard import Guard
from web.ingest import Ingest, make_audit_app
from web.lag import LoopLag
from web.listener import BoundSocket, Limits
from web.listener.actor import STOP_TIMEOUT_S, ListenerActor
from web.listener.limits import Doorman
from web.operators import NO_ACTIONS, actions_of
from web.sources import Sources
from web.tls import ServerTls

EDGE: Final = "edge"
"""The name of the listeners' supervisor."""
EDGE_INTENSITY: Final = Intensity(max=20, within_s=60.0)
"""Listeners that fail: more patience than for the pipeline, and another number on purpose."""
DASHBOARD_LIMITS: Final = Limits(drain_s=2.0)
"""A page in the making is quickly made; an event stream would go on for ever."""


class StartError(Exception):
    """The start is refused. One line: which setting or file, what is wrong."""


class Edge:
    """The listeners and what they share."""

    def __init__(
        self,
        settings: Settings,
        system: System,
        refs: Refs,
        hub: EventHub,
        tls: ServerTls | None,
        drain: trio.Event,
        acts: Callable[[], ActsStatistics] | None = None,
    ) -> None:
        self._settings = settings
        self._system = system
        self._refs = refs
        self._hub = hub
        self._tls = tls
        self._drain = drain
        self._acts = acts if acts is not None else ActsWindow().statistics
        self._statistics: dict[str, Callable[[], Sequence[Struct]]] = {}
        self.lag = LoopLag()
        self.version = installed_version("kube-protector")

    def spec(self, sockets: Mapping[str, BoundSocket]) -> SupervisorSpec:
        """The listeners that are wanted; the dashboard first, so that a start can be watched."""
        made = {"dashboard": self._dashboard, "audit": self._audit, "behavior": self._behavior}
        children = tuple(made[name](sockets[name]) for name in made if name in sockets)
        return SupervisorSpec(EDGE, children, intensity=EDGE_INTENSITY)

    def _context(self, *, with_client_ca: bool) -> ssl.SSLContext | None:
        return None if self._tls is None else self._tls.context(with_client_ca=with_client_ca)

    def _guard(self, tokens: Tokens | NoTokens) -> Guard:
        s = self._settings
        return Guard(tokens, rate_per_s=s.rate_per_s, burst=s.rate_burst, max_body_bytes=s.max_body_bytes)

    def _certificates(self) -> ClientCertificates | None:
        tls, settings = self._tls, self._settings
        if tls is None or settings.plaintext or settings.tls_client_ca is None:
            return None
        return ClientCertificates(settings.tls_client_names, lambda: tls.context().client_ca, self._system.clock.now)

    def _audit(self, bound: BoundSocket) -> Child:
        name, certificates = "audit", self._certificates()
        has_token = self._settings.ingest_token is not None or self._settings.ingest_token_file is not None
        tokens = _tokens(self._settings, name, "INGEST") if has_token or certificates is None else NoTokens()
        guard = self._guard(tokens)
        app = make_audit_app(
            self._refs.parser,
            self._refs.parser_large,
            self._refs.store,
            guard,
            self._settings,
            self._drain.is_set,
            now=self._system.clock.now,
            unusable=partial(self._dead_letter, name),
            certificates=certificates,
        )
        return self._ingest(name, bound, app, tokens, guard)

    def _dead_letter(self, child: str, digest: str, size: int, _peer: str, _why: str) -> None:
        """An unreadable body among the dead letters: by hash and size, never by content."""
        letter = f"body sha256:{digest} of {size} B"
        where = f"/{self._system.name}/{EDGE}/{child}"
        self._system.dead_letters.add(DeadLetter(self._system.clock.now(), where, letter, Reason.UNREADABLE))

    def _behavior(self, bound: BoundSocket) -> Child:
        tokens = _tokens(self._settings, "behavior", "BEHAVIOR")
        guard = self._guard(tokens)
        app = make_behavior_app(
            self._refs.behaviors, guard, self._settings, self._drain.is_set, now=self._system.clock.now
        )
        return self._ingest("behavior", bound, app, tokens, guard)

    def _ingest(
        self,
        name: str,
        bound: BoundSocket,
        app: Ingest,
        tokens: Tokens | NoTokens,
        guard: Guard,
    ) -> Child:
        is_tls = not self._settings.plaintext
        return self._listener(
            name,
            bound,
            app,
            tls=(lambda: self._context(with_client_ca=name == "audit")) if is_tls else lambda: None,
            upkeep=(tokens.refresh, *self._tls_upkeep()),
            statistics=lambda: (guard.statistics(), app.statistics()),
            doorman=app.doorman,
        )

    def _dashboard(self, bound: BoundSocket) -> Child:
        settings, address = self._settings, self._settings.dashboard_addr
        has_token = settings.viewer_token is not None or settings.viewer_token_file is not None
        tokens = _tokens(settings, "dashboard", "VIEWER") if has_token else None
        is_tls = not address.is_loopback
        access = Access(
            loopback=address.is_loopback, tls=is_tls, hosts=_host_names(address, settings), credentials=tokens
        )
        sources = Sources(
            engine=self._refs.engine,
            store=self._refs.store,
            cluster=self._refs.cluster,
            system=self._system,
            hub=self._hub,
            clock=self._system.clock,
            version=self.version,
            cluster_name=settings.cluster_name,
            started_at=self._system.clock.now(),
            listeners=lambda: {name: read() for name, read in self._statistics.items()},
            lag=self.lag.statistics,
            heartbeat=self._refs.heartbeat if settings.cluster == "kubernetes" and settings.heartbeat else None,
            acts=self._acts,
            has_cluster=settings.cluster != "none",
        )
        upkeep: list[Callable[[float], object]] = [] if tokens is None else [_ending_sessions(tokens, access)]
        actions = NO_ACTIONS
        if settings.actor_actions:
            operators = _tokens(settings, "dashboard", "OPERATOR")
            actions = actions_of(operators, self._system.clock.now)
            upkeep.append(operators.refresh)
        return self._listener(
            "dashboard",
            bound,
            make_dashboard(sources, access, actions),
            tls=(lambda: self._context(with_client_ca=False)) if is_tls else lambda: None,
            upkeep=(*upkeep, *self._tls_upkeep()),
            statistics=lambda: (),
            limits=DASHBOARD_LIMITS,
        )

    def _tls_upkeep(self) -> tuple[Callable[[float], object], ...]:
        return () if self._tls is None else (self._tls.refresh,)

    def _listener(
        self,
        name: str,
        bound: BoundSocket,
        app: Any,
        *,
        tls: Callable[[], ssl.SSLContext | None],
        upkeep: tuple[Callable[[float], object], ...],
        statistics: Callable[[], Sequence[Struct]],
        limits: Limits | None = None,
        doorman: Doorman | None = None,
    ) -> Child:
        self._statistics[name] = lambda: (*(s for s in (bound.statistics(),) if s is not None), *statistics())
        return Child(
            name,
            ListenerActor,
            (name, bound, app),
            {"tls": tls, "upkeep": upkeep, "limits": limits, "drain_on": self._drain, "doorman": doorman},
            stop_timeout_s=STOP_TIMEOUT_S,
        )


def _ending_sessions(tokens: Tokens, access: Access) -> Callable[[float], object]:
    """A token that was taken out of the file takes the sessions with it that it opened; which those are is not kept, so all end."""

    def refresh(now: float) -> None:
        if tokens.refresh(now):
            access.sessions.end_all()

    return refresh


def _host_names(address: Address, settings: Settings) -> frozenset[str]:
    """Under which names the dashboard may be asked for, besides loopback's."""
    names = {address.host, *settings.tls_names}
    if not address.is_loopback:
        names |= {socket.gethostname(), socket.getfqdn()}
    return frozenset(names - {"0.0.0.0", "::"})


def check_tokens(settings: Settings) -> None:
    """StartError where a listener that is wanted has no token that can be used; before anything is made or begun."""
    wanted = (
        ("audit", "INGEST", settings.audit_addr is not None and not settings.has_client_certificates_only),
        ("behavior", "BEHAVIOR", settings.behavior_addr is not None),
        ("dashboard", "VIEWER", settings.viewer_token is not None or settings.viewer_token_file is not None),
        ("dashboard", "OPERATOR", settings.actor_actions),
    )
    for listener, name, is_wanted in wanted:
        if is_wanted:
            _tokens(settings, listener, name)


def _tokens(settings: Settings, listener: str, name: str) -> Tokens:
    inline, file = getattr(settings, f"{name.lower()}_token"), getattr(settings, f"{name.lower()}_token_file")
    try:
        return Tokens(inline=inline, file=file, listener=listener, setting=f"PROTECTOR_{name}_TOKEN")
    except CredentialsError as error:
        raise StartError(str(error)) from None
