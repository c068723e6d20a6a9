"""`protector serve`: pipeline and listeners composed into one system, from the settings to the exit code.

Everything that can be wrong is looked at before anything starts: StartError is one line for the operator. Then, in order: the
cluster file, the journal, the certificate, the sockets, the actors. SIGTERM and SIGINT drain and stop within a bound.
"""

from __future__ import annotations

import gc
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version as installed_version
from typing import Any, Final

import msgspec
import trio
from msgspec import Struct

from actors.cluster.model import ClusterModel
from actors.cluster.raw import Snapshot
from actors.cluster.source import ClusterFileError, load_file
from actors.config import Address, Settings
from actors.engine.ended import EndedRing
from actors.evidence import Account
from actors.evidence.times import rfc3339
from actors.messages import Flip
from actors.runtime import Child, EventKind, Intensity, SupervisorSpec, System, SystemFailed, open_system
from actors.store import Journal, JournalError, JournalUnavailable, MemoryJournal, SqliteJournal
from actors.tree import Parts, Refs, pipeline, refs_of
from web.credentials import CredentialsError, Tokens
from web.dashboard import make_dashboard
from web.events import EventHub
from web.gate import Access
from web.guard import Guard
from web.ingest import make_audit_app, make_behavior_app
from web.lag import LoopLag
from web.listener import BoundSocket, bind
from web.listener.actor import STOP_TIMEOUT_S, ListenerActor
from web.listener.request import App
from web.logs import logger
from web.sources import Sources
from web.tls import ServerTls, TlsError

STOP_S: Final = 24.0
"""How long the whole may take to stop after SIGTERM; whoever runs it should give it 30 s."""
EDGE_INTENSITY: Final = Intensity(max=20, within_s=60.0)

log = logger("protector.serve")


class StartError(Exception):
    """The start is refused. One line: which setting or file, what is wrong."""


class _Doors(Struct, frozen=True):
    """One listener's parts: `children` spec and what its statistics are read from."""

    child: Child
    statistics: Callable[[], Sequence[Struct]]


def run_serve(settings: Settings) -> int:
    """Runs until SIGTERM or SIGINT; the exit code. Raises StartError."""
    sockets = _bind_all(settings)
    try:
        snapshots = _snapshots(settings)
        journal = _journal(settings)
        tls = _tls(settings)
        return trio.run(_serve, settings, sockets, snapshots, journal, tls)
    finally:
        for bound in sockets.values():
            bound.close()


# --- what is looked at before anything starts ---------------------------------------------------------------------------


def _bind_all(settings: Settings) -> dict[str, BoundSocket]:
    wanted = {
        "audit": settings.audit_addr,
        "behavior": settings.behavior_addr,
        "dashboard": settings.dashboard_addr,
    }
    found: dict[str, BoundSocket] = {}
    for name, address in wanted.items():
        if address is None:
            continue
        try:
            found[name] = bind(address.host, address.port)
        except OSError as error:
            for bound in found.values():
                bound.close()
            variable = f"PROTECTOR_{name.upper()}_ADDR"
            raise StartError(f"{variable}: cannot listen on {address}: {error.strerror or error}") from None
    return found


def _snapshots(settings: Settings) -> tuple[Snapshot, ...]:
    if settings.cluster == "none":
        return ()
    try:
        return (load_file(settings.cluster),)
    except ClusterFileError as error:
        raise StartError(f"PROTECTOR_CLUSTER: {error}") from None


def _journal(settings: Settings) -> Journal:
    path = settings.store_path
    if path is None:
        return MemoryJournal()
    try:
        return SqliteJournal(path)
    except JournalError as error:
        raise StartError(f"PROTECTOR_STORE: {error}") from None


async def _check_journal(journal: Journal) -> None:
    """The store opens it again; here a file that cannot be used is one line instead of a failing actor."""
    try:
        await journal.open()
    except (JournalError, JournalUnavailable) as error:
        raise StartError(f"PROTECTOR_STORE: {error}") from None


def _tls(settings: Settings) -> ServerTls | None:
    ingest = settings.audit_addr is not None or settings.behavior_addr is not None
    if settings.dashboard_addr.is_loopback and (settings.plaintext or not ingest):
        return None
    try:
        return ServerTls(
            state_dir=settings.state_dir,
            certificate=settings.tls_cert,
            key=settings.tls_key,
            client_ca=settings.tls_client_ca,
            names=settings.tls_names,
            now=time.time(),
        )
    except TlsError as error:
        raise StartError(f"TLS: {error}") from None
    except OSError as error:
        where = error.filename or settings.state_dir
        raise StartError(f"PROTECTOR_STATE_DIR: {where}: {error.strerror or error}") from None


def _tokens(settings: Settings, listener: str, name: str) -> Tokens:
    inline, file = getattr(settings, f"{name.lower()}_token"), getattr(settings, f"{name.lower()}_token_file")
    try:
        return Tokens(inline=inline, file=file, listener=listener, setting=f"PROTECTOR_{name}_TOKEN")
    except CredentialsError as error:
        raise StartError(str(error)) from None


# --- the run -----------------------------------------------------------------------------------------------------------------


async def _serve(
    settings: Settings,
    sockets: Mapping[str, BoundSocket],
    snapshots: tuple[Snapshot, ...],
    journal: Journal,
    tls: ServerTls | None,
) -> int:
    await _check_journal(journal)
    hub, drain = EventHub(f"{int(time.time() * 1000):x}"), trio.Event()
    cluster_name = settings.cluster_name
    try:
        async with open_system("protector", stop_timeout_s=STOP_S) as system:
            refs = refs_of(system)
            parts = Parts(
                journal=journal,
                model=ClusterModel(ttl_s=settings.ttl_s),
                snapshots=snapshots,
                ended=EndedRing(),
                write=_write_line,
                cluster_name=cluster_name,
                ttl_s=settings.ttl_s,
                max_observations=settings.max_observations,
                history_days=settings.history_days,
                on_event=lambda flip, line: _publish_flip(hub, flip, line),
                on_evidence=lambda account, new: _publish_evidence(hub, account, new),
            )
            edge = _Edge(settings, system, refs, hub, tls, drain)
            await system.start(pipeline(system, parts))
            await system.start(edge.spec(sockets))
            _settle_memory()
            log.info("serving", version=edge.version, **{name: ", ".join(b.addresses) for name, b in sockets.items()})
            async with trio.open_nursery() as beside:
                beside.start_soon(edge.lag.watch)
                beside.start_soon(_follow_lifecycle, system, hub)
                await _until_told_to_stop()
                beside.cancel_scope.cancel()
            drain.set()
            hub.close()
    except SystemFailed as error:
        log.error("a part failed too often to go on", why=str(error))
        return 1
    log.info("stopped")
    return 0


class _Edge:
    """The listeners and what they share."""

    def __init__(
        self, settings: Settings, system: System, refs: Refs, hub: EventHub, tls: ServerTls | None, drain: trio.Event
    ) -> None:
        self._settings = settings
        self._system = system
        self._refs = refs
        self._hub = hub
        self._tls = tls
        self._drain = drain
        self._statistics: dict[str, Callable[[], Sequence[Struct]]] = {}
        self.lag = LoopLag()
        self.version = installed_version("kube-protector")

    def spec(self, sockets: Mapping[str, BoundSocket]) -> SupervisorSpec:
        """The listeners that are wanted; the dashboard first, so that a start can be watched."""
        made = {"dashboard": self._dashboard, "audit": self._audit, "behavior": self._behavior}
        children = tuple(made[name](sockets[name]) for name in made if name in sockets)
        return SupervisorSpec("edge", children, intensity=EDGE_INTENSITY)

    def _context(self, *, with_client_ca: bool) -> ssl.SSLContext | None:
        return None if self._tls is None else self._tls.context(with_client_ca=with_client_ca)

    def _guard(self, tokens: Tokens) -> Guard:
        s = self._settings
        return Guard(tokens, rate_per_s=s.rate_per_s, burst=s.rate_burst, max_body_bytes=s.max_body_bytes)

    def _audit(self, bound: BoundSocket) -> Child:
        tokens = _tokens(self._settings, "audit", "INGEST")
        guard = self._guard(tokens)
        app = make_audit_app(
            self._refs.parser,
            self._refs.parser_large,
            self._refs.store,
            guard,
            self._settings,
            self._drain.is_set,
            now=self._system.clock.now,
        )
        return self._ingest("audit", bound, app, tokens, lambda: (guard.statistics(), app.statistics()))

    def _behavior(self, bound: BoundSocket) -> Child:
        tokens = _tokens(self._settings, "behavior", "BEHAVIOR")
        guard = self._guard(tokens)
        app = make_behavior_app(guard, self._settings, self._drain.is_set)
        return self._ingest("behavior", bound, app, tokens, lambda: (guard.statistics(), app.statistics()))

    def _ingest(
        self, name: str, bound: BoundSocket, app: App, tokens: Tokens, statistics: Callable[[], Sequence[Struct]]
    ) -> Child:
        is_tls = not self._settings.plaintext
        return self._listener(
            name,
            bound,
            app,
            tls=(lambda: self._context(with_client_ca=True)) if is_tls else lambda: None,
            upkeep=(tokens.refresh, *self._tls_upkeep()),
            statistics=statistics,
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
            has_cluster=settings.cluster != "none",
        )
        return self._listener(
            "dashboard",
            bound,
            make_dashboard(sources, access),
            tls=(lambda: self._context(with_client_ca=False)) if is_tls else lambda: None,
            upkeep=((_ending_sessions(tokens, access),) if tokens is not None else ()) + self._tls_upkeep(),
            statistics=lambda: (),
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
    ) -> Child:
        self._statistics[name] = statistics
        return Child(
            name,
            ListenerActor,
            (name, bound, app),
            {"tls": tls, "upkeep": upkeep},
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


def _settle_memory() -> None:
    """What was loaded stays for good: the collector need not walk over it again and again, which would stall the loop."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _until_told_to_stop() -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("stopping", signal=signal.Signals(number).name)
            return


# --- what goes out -------------------------------------------------------------------------------------------------------------


async def _write_line(line: str) -> None:
    """One line of the flip log. A reader that has gone away is said once a line and costs nothing else."""

    def write() -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    try:
        await trio.to_thread.run_sync(write, abandon_on_cancel=True)
    except (OSError, ValueError) as error:
        log.error("a line of the flip log could not be written", why=str(error))


def _publish_flip(hub: EventHub, flip: Flip, line: str) -> None:
    hub.publish(flip.event, line)


def _publish_evidence(hub: EventHub, account: Account, new: int) -> None:
    data = {"service_account": {"namespace": account.namespace, "name": account.name}, "new": new}
    hub.publish("evidence.new", msgspec.json.encode(data).decode())


async def _follow_lifecycle(system: System, hub: EventHub) -> None:
    """Restarts and failures as events for the dashboards."""
    names = {
        EventKind.RESTARTING: "actor.restarted",
        EventKind.FAILED: "actor.failed",
        EventKind.ESCALATED: "actor.escalated",
    }
    with system.subscribe(256) as events:
        async for event in events:
            if (name := names.get(event.kind)) is not None:
                data = {"at": rfc3339(event.at), "event": name, "path": event.path}
                hub.publish(name, msgspec.json.encode(data).decode())
