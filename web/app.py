"""`protector serve`: pipeline and listeners composed into one system, from the settings to the exit code.

Everything that can be wrong is looked at before anything starts: StartError is one line for the operator. In order: the
tokens, the sockets, the cluster file, the expected readers, the journal, the certificate, the actors. SIGTERM and SIGINT drain and
stop within a bound, a second one at once; SIGUSR1 shows every actor with its stack on stderr.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import trio

from actors.behaviors import ActsWindow
from actors.cluster.kept import KeptCluster
from actors.cluster.live.access import AccessError, find_access
from actors.cluster.live.watcher import LiveSource
from actors.cluster.model import ClusterModel
from actors.cluster.raw import Snapshot
from actors.cluster.source import ClusterFileError, load_file
from actors.config import Settings
from actors.engine.ended import EndedRing
from actors.engine.expected import BadExpected, Expected
from actors.evidence import Account
from actors.evidence.times import rfc3339
from actors.messages import Flip
from actors.runtime import (
    EventKind,
    System,
    SystemFailed,
    open_system,
    run_until_signal,
)
from actors.store import Journal, JournalError, JournalUnavailable, MemoryJournal, SqliteJournal
from actors.tree import Parts, pipeline, refs_of
from web.edge import Edge, StartError, check_tokens
from web.events import EventHub
from web.expected_file import load_expected
from web.listener import BoundSocket, bind
from web.logs import logger
from web.tls import ServerTls, TlsError

STOP_S: Final = 24.0
"""How long the whole may take to stop after SIGTERM; whoever runs it should give it 30 s."""
FILES_WANTED: Final = 8192
"""Open files: three listeners with their connections, the journal, and room."""

log = logger("protector.serve")


def run_serve(settings: Settings) -> int:
    """Runs until SIGTERM or SIGINT; the exit code. Raises StartError."""
    _raise_file_limit()
    check_tokens(settings)
    _check_audit_log(settings)
    sockets = _bind_all(settings)
    try:
        snapshots, live = _snapshots(settings), _live(settings)
        expected = _expected(settings)
        journal = _journal(settings)
        return trio.run(_serve, settings, sockets, snapshots, live, journal, expected)
    finally:
        for bound in sockets.values():
            bound.close()


def _raise_file_limit() -> None:
    """The usual soft limit of 1,024 is less than the listeners' own bounds; the hard limit is the operator's word."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


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
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that no resolver could be asked for
            for bound in found.values():
                bound.close()
            variable = f"PROTECTOR_{name.upper()}_ADDR"
            why = getattr(error, "strerror", None) or error
            raise StartError(f"{variable}: cannot listen on {address}: {why}") from None
    return found


def _check_audit_log(settings: Settings) -> None:
    """It need not be there yet, but the folder has to be, and no folder, pipe or device can be followed."""
    path = settings.audit_log
    if path is not None and path.exists() and not path.is_file():
        raise StartError(f"PROTECTOR_AUDIT_LOG: {path}: is no regular file")
    if path is not None and not path.parent.is_dir():
        raise StartError(f"PROTECTOR_AUDIT_LOG: {path}: there is no such folder")


def _snapshots(settings: Settings) -> tuple[Snapshot, ...]:
    if settings.cluster in ("none", "kubernetes"):
        return ()
    if Path(settings.cluster).exists() and not Path(settings.cluster).is_file():
        raise StartError(
            f"PROTECTOR_CLUSTER: {settings.cluster}: is no regular file"
        )  # a pipe could hold up the start for ever
    try:
        return (load_file(settings.cluster),)
    except ClusterFileError as error:
        raise StartError(f"PROTECTOR_CLUSTER: {error}") from None


def _live(settings: Settings) -> LiveSource | None:
    """The API server of a live cluster: that there is a way to it, not that it answers, which may come later."""
    if settings.cluster != "kubernetes":
        return None
    try:
        return LiveSource(find_access(os.environ), counts={})
    except AccessError as error:
        raise StartError(f"PROTECTOR_CLUSTER: {error}") from None


def _beside(store: Path) -> Path:
    """Where the cluster is remembered: beside the store, under its name."""
    return store.with_name(f"{store.name}-cluster")


def _expected(settings: Settings) -> Expected:
    try:
        return load_expected(settings.expected)
    except BadExpected as error:
        raise StartError(f"PROTECTOR_EXPECTED: {error}") from None


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


# --- the run -----------------------------------------------------------------------------------------------------------------


async def _serve(
    settings: Settings,
    sockets: Mapping[str, BoundSocket],
    snapshots: tuple[Snapshot, ...],
    live: LiveSource | None,
    journal: Journal,
    expected: Expected,
) -> int:
    await _check_journal(journal)
    tls = _tls(settings)
    hub, drain = EventHub(), trio.Event()
    cluster_name = settings.cluster_name
    try:
        async with open_system("protector", stop_timeout_s=STOP_S) as system:
            refs = refs_of(system)
            acts = ActsWindow(settings.ttl_s)
            parts = Parts(
                journal=journal,
                model=ClusterModel(ttl_s=settings.ttl_s + max(settings.lags_s.values(), default=0.0)),
                snapshots=snapshots,
                live=live,
                heartbeat=live.access if live is not None and settings.heartbeat else None,
                kept=None if live is None or settings.store_path is None else KeptCluster(_beside(settings.store_path)),
                ended=EndedRing(revision=int(time.time() * 1000)),  # never a number that an earlier process gave out
                write=_write_line,
                cluster_name=cluster_name,
                ttl_s=settings.ttl_s,
                max_observations=settings.max_observations,
                history_days=settings.history_days,
                acts=acts,
                lags_s=settings.lags_s,
                expected=expected,
                burst_secrets=settings.burst_secrets,
                first_read_after_s=settings.first_read_after_s,
                on_event=lambda flip, line: _publish_flip(hub, flip, line),
                on_evidence=lambda account, new: _publish_evidence(hub, account, new, cluster_name),
                audit_log=settings.audit_log,
            )
            edge = Edge(settings, system, refs, hub, tls, drain, acts.statistics)
            await system.start(pipeline(system, parts))
            await system.start(edge.spec(sockets))
            settle_memory()
            log.info("serving", version=edge.version, **{name: ", ".join(b.addresses) for name, b in sockets.items()})
            async with trio.open_nursery() as beside:
                beside.start_soon(edge.lag.watch)
                beside.start_soon(_follow_lifecycle, system, hub, cluster_name)
                log.info("stopping", signal=await run_until_signal(system))
                beside.cancel_scope.cancel()
            drain.set()
            hub.close()
    except SystemFailed as error:
        log.error("a part failed too often to go on", why=str(error))
        return 1
    log.info("stopped")
    return 0


def settle_memory() -> None:
    """What was loaded stays for good: the collector need not walk over it again and again, which would stall the loop."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


# --- what goes out -------------------------------------------------------------------------------------------------------------


async def _write_line(line: str) -> bool:
    """One line of the flip log; whether it could be written. A reader that has gone away is logged and costs nothing else."""

    def write() -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    try:
        await trio.to_thread.run_sync(write, abandon_on_cancel=True)
    except (OSError, ValueError) as error:
        log.error("a line of the flip log could not be written", why=str(error))
        return False
    return True


def _publish_flip(hub: EventHub, flip: Flip, line: str) -> None:
    hub.publish(flip.event, line)


def _publish_evidence(hub: EventHub, account: Account, new: int, cluster_name: str) -> None:
    """One event for each account of each batch: written out only for streams that are open."""
    hub.publish("evidence.new", partial(_evidence_line, time.time(), account, new, cluster_name))


def _evidence_line(at: float, account: Account, new: int, cluster_name: str) -> str:
    data = {"at": rfc3339(at), "event": "evidence.new", "cluster": cluster_name, "service_account": str(account)}
    return msgspec.json.encode(data | {"new": new}).decode()


async def _follow_lifecycle(system: System, hub: EventHub, cluster_name: str) -> None:
    """Restarts and failures as events for the dashboards."""
    names = {
        EventKind.RESTARTING: "actor.restarted",
        EventKind.FAILED: "actor.failed",
        EventKind.ESCALATED: "actor.escalated",
    }
    with system.subscribe(256) as events:
        async for event in events:
            if (name := names.get(event.kind)) is not None:
                data = {"at": rfc3339(event.at), "event": name, "cluster": cluster_name, "path": event.path}
                hub.publish(name, msgspec.json.encode(data).decode())
