"""A fake Kubernetes API server for tests: real HTTP on a real socket, scripted trouble. The client under test is the real one.

It lists in pages, watches with bookmarks, forgets old versions (410 Gone), and serves metadata alone where that is asked for.
Nothing happens by itself: objects move, bookmarks come and streams break when the test says so. `requests` is what was asked.
Counterpart: actors/cluster/live. Rules: kubernetes.io/docs/reference/using-api/api-concepts.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import h11
import trio
from msgspec import Struct

from actors.testing.kube_objects import RESOURCES, collection_of, key_of, metadata_only, status_of, typed_list

__all__ = ["FakeKube", "Request"]

HISTORY_MAX: Final = 100_000
"""Changes that are kept for watches; beyond, the oldest are gone, as with etcd's compaction."""
RECEIVE_BYTES: Final = 1 << 16
SECRET_PATH: Final = re.compile(r"/api/v1/namespaces/[^/]+/secrets/[^/]+")
"""It has no Secrets: one may be asked for, and is denied or not found."""


class Request(Struct, frozen=True):
    """One request as it came in."""

    path: str
    query: dict[str, str]
    authorization: str | None
    accept: str

    @property
    def is_watch(self) -> bool:
        """Whether it opened a watch."""
        return self.query.get("watch") in ("1", "true")


class _Change(Struct, frozen=True):
    version: int
    path: str
    type: str
    value: dict[str, Any]


class _Watch:
    """One open watch: wakes when there is something to send or it has to end."""

    def __init__(self, path: str, version: int) -> None:
        self.path = path
        self.version = version
        self.lines: list[dict[str, Any]] = []
        self.ending = False
        self.cut = False
        self.wake = trio.Event()

    def poke(self) -> None:
        self.wake.set()
        self.wake = trio.Event()


class FakeKube:
    """The server. Run `serve` in a nursery; `url` is where it listens. Change it at any time."""

    def __init__(
        self,
        *,
        first_version: int = 1000,
        page_items_max: int = 500,
        tls: ssl.SSLContext | None = None,
        user: str = "u",
    ) -> None:
        self.version = first_version
        self.page_items_max = page_items_max
        """It gives no more than this, whatever is asked for."""
        self.requests: list[Request] = []
        self.absent: set[str] = {"gateway.networking.k8s.io"}
        """API groups that it does not have."""
        self.forbidden: set[tuple[str, str]] = set()
        """(verb, resource) that are answered 403."""
        self.port = 0
        self.slow_bytes: int | None = None
        """Answers are written so many bytes at a time; None: at once."""
        self._tls = tls
        self._user = user
        self._objects: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
        self._history: list[_Change] = []
        self._gone_until = 0
        self._failures: list[tuple[int, dict[str, str], Callable[[Request], bool]]] = []
        self._watches: list[_Watch] = []
        self._serving: trio.CancelScope | None = None
        self._changed = trio.Event()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    # --- what the test does to the cluster ------------------------------------------------------------------------------

    def put(self, *values: dict[str, Any]) -> None:
        """These objects are there, like this."""
        for value in values:
            path, key = collection_of(value), key_of(value)
            kept = self._objects.setdefault(path, {})
            kind = "MODIFIED" if key in kept else "ADDED"
            kept[key] = self._moved(path, kind, value)

    def delete(self, value: dict[str, Any]) -> None:
        """The object of this kind, namespace and name goes."""
        path, key = collection_of(value), key_of(value)
        self._moved(path, "DELETED", self._objects[path].pop(key))

    def _moved(self, path: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        value = value | {"metadata": value["metadata"] | {"resourceVersion": str(self.version)}}
        self._history.append(_Change(self.version, path, kind, value))
        if len(self._history) > HISTORY_MAX:
            self._gone_until = self._history.pop(0).version
        for watch in self._watches:
            watch.poke()
        return value

    # --- trouble --------------------------------------------------------------------------------------------------------

    def compact(self) -> None:
        """Every version until now is gone: watches and pages from before are answered 410; open watches go on."""
        self.version += 1
        self._gone_until = self.version
        self._history.clear()

    def fail(
        self,
        status: int,
        times: int = 1,
        *,
        retry_after: str | None = None,
        where: str = "",
        only_watch: bool | None = None,
    ) -> None:
        """The next requests (whose path ends in `where`) are answered with this status."""
        headers = {"Retry-After": retry_after} if retry_after is not None else {}

        def matches(request: Request) -> bool:
            return request.path.endswith(where) and (only_watch is None or only_watch == request.is_watch)

        self._failures += [(status, headers, matches)] * times

    def bookmark(self) -> None:
        """Every open watch gets one."""
        for watch in self._watches:
            kind, api_version = RESOURCES[watch.path]
            meta = {"resourceVersion": str(self.version), "creationTimestamp": None}
            self._say(
                watch, {"type": "BOOKMARK", "object": {"kind": kind, "apiVersion": api_version, "metadata": meta}}
            )

    def expire_watches(self) -> None:
        """Every open watch gets an ERROR event with 410, and ends."""
        self.break_watches(410, "Expired", "too old resource version")

    def break_watches(self, code: int, reason: str, message: str) -> None:
        """Every open watch gets an ERROR event, and ends."""
        for watch in self._watches:
            self._say(watch, {"type": "ERROR", "object": status_of(code, reason, message)})
            watch.ending = True

    def end_watches(self) -> None:
        """Every open watch ends as it does after its timeoutSeconds."""
        for watch in self._watches:
            watch.ending = True
            watch.poke()

    def cut_watches(self, half_line: bool = False) -> None:
        """Every open watch's connection breaks, in the middle of a line if so said."""
        for watch in self._watches:
            if half_line:
                watch.lines.append({"half": "a line"})
            watch.cut = True
            watch.poke()

    def _say(self, watch: _Watch, line: dict[str, Any]) -> None:
        watch.lines.append(line)
        watch.poke()

    # --- what the test waits for ----------------------------------------------------------------------------------------

    def watching(self, resource: str) -> int:
        """Open watches of this resource (plural)."""
        return sum(watch.path.endswith(f"/{resource}") for watch in self._watches)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds; looked at whenever a request came or a watch opened or ended."""
        while not condition():
            await self._changed.wait()

    def _note(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # --- serving --------------------------------------------------------------------------------------------------------

    async def serve(self, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until `down` or the end of the nursery. The port is kept from one time to the next."""
        listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        with trio.CancelScope() as self._serving:
            await trio.serve_listeners(
                self._connection,
                listeners,
                handler_nursery=None,
                task_status=_Saying(task_status, self.url),
            )
        self._watches.clear()

    def down(self) -> None:
        """Stop listening, and cut every connection."""
        if self._serving is not None:
            self._serving.cancel()

    async def _connection(self, tcp: trio.SocketStream) -> None:
        stream: trio.abc.Stream = tcp
        if self._tls is not None:
            stream = trio.SSLStream(tcp, self._tls, server_side=True, https_compatible=True)
        connection = h11.Connection(h11.SERVER)
        try:
            while await self._one(stream, connection):
                connection.start_next_cycle()
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.ProtocolError, ssl.SSLError):
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async def _one(self, stream: trio.abc.Stream, connection: h11.Connection) -> bool:
        """One request; whether another may follow."""
        found: h11.Request | None = None
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(bytes(await stream.receive_some(RECEIVE_BYTES)))
            elif isinstance(event, h11.Request):
                found = event
            elif isinstance(event, h11.EndOfMessage) and found is not None:
                break
            else:
                return False
        parts = urlsplit(found.target.decode())
        headers = {bytes(name).decode(): bytes(value).decode() for name, value in found.headers}
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        request = Request(parts.path, query, headers.get("authorization"), headers.get("accept", ""))
        self.requests.append(request)
        try:
            await self._answer(stream, connection, request)
        finally:
            self._note()
        return connection.our_state is h11.DONE

    async def _answer(self, stream: trio.abc.Stream, connection: h11.Connection, request: Request) -> None:
        for index, (status, headers, matches) in enumerate(self._failures):
            if matches(request):
                del self._failures[index]
                body = status_of(status, "", f"{status} as the test wants it")
                await self._send(stream, connection, status, body, headers)
                return
        refusal = self._refusal(request)
        if refusal is not None:
            await self._send(stream, connection, refusal["code"], refusal)
        elif request.is_watch:
            await self._watch(stream, connection, request)
        else:
            code, body = self._page(request)
            await self._send(stream, connection, code, body)

    def _refusal(self, request: Request) -> dict[str, Any] | None:
        if SECRET_PATH.fullmatch(request.path):
            if ("get", "secrets") not in self.forbidden:
                return status_of(404, "NotFound", "secrets not found")
            return status_of(
                403, "Forbidden", f'secrets is forbidden: User "{self._user}" cannot get resource "secrets"'
            )
        resource = request.path.rsplit("/", 1)[-1]
        if request.path not in RESOURCES or any(f"/{group}/" in request.path for group in self.absent):
            return status_of(404, "NotFound", "the server could not find the requested resource")
        if ("watch" if request.is_watch else "list", resource) in self.forbidden:
            return status_of(403, "Forbidden", f'{resource} is forbidden: User "{self._user}" cannot do that')
        return None

    def _page(self, request: Request) -> tuple[int, dict[str, Any]]:
        version, after = self.version, ("", "")
        if token := request.query.get("continue"):
            version, *place = json.loads(base64.urlsafe_b64decode(token))
            after = (place[0], place[1])
            if version < self._gone_until:
                return 410, status_of(410, "Expired", "the provided continue parameter is too old")
        kept = self._objects.get(request.path, {})
        keys = sorted(key for key in kept if key > after)
        limit = min(int(request.query.get("limit", self.page_items_max)), self.page_items_max)
        page, rest = keys[:limit], len(keys) - limit
        meta = {"resourceVersion": str(version)}
        if rest > 0:
            meta["continue"] = base64.urlsafe_b64encode(json.dumps([version, *page[-1]]).encode()).decode()
            meta["remainingItemCount"] = str(rest)
        return 200, typed_list(request.path, request.accept, meta, [kept[key] for key in page])

    async def _send(
        self,
        stream: trio.abc.Stream,
        connection: h11.Connection,
        code: int,
        body: dict[str, Any],
        headers: dict[str, str] | None = None,
    ) -> None:
        data = json.dumps(body).encode()
        head = {"Content-Type": "application/json", "Content-Length": str(len(data))} | (headers or {})
        await self._write(stream, connection.send(h11.Response(status_code=code, headers=list(head.items()))) or b"")
        await self._write(stream, connection.send(h11.Data(data=data)) or b"")
        await self._write(stream, connection.send(h11.EndOfMessage()) or b"")

    async def _write(self, stream: trio.abc.Stream, data: bytes) -> None:
        step = self.slow_bytes or max(1, len(data))
        for begin in range(0, len(data), step):
            await stream.send_all(data[begin : begin + step])

    async def _watch(self, stream: trio.abc.Stream, connection: h11.Connection, request: Request) -> None:
        version = int(request.query.get("resourceVersion", "0"))
        if version < self._gone_until:
            await self._send(stream, connection, 410, status_of(410, "Expired", f"too old resource version: {version}"))
            return
        watch = _Watch(request.path, version)
        self._watches.append(watch)
        self._note()
        try:
            headers = [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")]
            await self._write(stream, connection.send(h11.Response(status_code=200, headers=headers)) or b"")
            while await self._stream(stream, connection, watch, request.accept):
                pass
        finally:
            if watch in self._watches:
                self._watches.remove(watch)

    async def _stream(self, stream: trio.abc.Stream, connection: h11.Connection, watch: _Watch, accept: str) -> bool:
        """Send what there is and wait for more; False at the end of the watch."""
        wake = watch.wake
        lines = [
            {"type": change.type, "object": metadata_only(change.value, accept)}
            for change in self._history
            if change.version > watch.version and change.path == watch.path
        ]
        watch.version = self.version
        said, watch.lines = watch.lines, []
        for line in (*lines, *said):
            data = json.dumps(line).encode()
            whole = data[: len(data) // 2] if "half" in line else data + b"\n"
            await self._write(stream, connection.send(h11.Data(data=whole)) or b"")
        if watch.cut:
            await trio.aclose_forcefully(stream)
            raise trio.ClosedResourceError
        if watch.ending:
            await self._write(stream, connection.send(h11.EndOfMessage()) or b"")
            return False
        await wake.wait()
        return True


class _Saying:
    """A task status that says where it listens instead of the listeners."""

    def __init__(self, inner: trio.TaskStatus[str], url: str) -> None:
        self._inner = inner
        self._url = url

    def started(self, _listeners: Any = None) -> None:
        self._inner.started(self._url)
