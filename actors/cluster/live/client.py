"""GET over HTTP/1.1 and TLS, whole or as a stream. h11 on Trio; docs/decisions/0011 says why not a library.

One client has at most one idle connection, which the next request takes; a watch keeps its own for as long as it lasts.
Every fault of the network or of the other side is ApiUnreachable, every answer but 200 is ApiRefused.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any, Final

import h11
import msgspec
import trio

from actors.cluster.live.access import AccessError, ApiAccess

CONNECT_S: Final = 10.0
"""How long a connection may take, TLS included."""
HEAD_S: Final = 60.0
"""How long an answer may take to begin: what the API server itself gives a request."""
CHUNK_S: Final = 30.0
"""How long the next part of a body may take, but for a watch."""
HEAD_BYTES_MAX: Final = 1 << 16
"""Longest head of an answer, or of a chunk."""
RECEIVE_BYTES: Final = 1 << 16
"""Bytes taken from the socket at once."""
ERROR_BYTES_MAX: Final = 1 << 16
"""So much is read of a refusal's body; the rest is left and the connection closed."""
MESSAGE_MAX: Final = 300
"""So much of the other side's message is kept."""
AGENT: Final = "kube-protector"

NETWORK: Final = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, ssl.CertificateError)
"""What a connection can die of. SSLError is an OSError."""


class ApiUnreachable(Exception):  # noqa: N818 - it says what happened
    """No answer, or one that broke off. The text is one line."""


class ApiRefused(Exception):  # noqa: N818 - it says what happened
    """The API server answered, with something else than 200."""

    def __init__(self, code: int, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


class BodyTooLong(Exception):  # noqa: N818 - it says what happened
    """A body is longer than its reader takes."""


class Status(msgspec.Struct, frozen=True):
    """As much of a metav1.Status as is looked at."""

    code: int = 0
    message: str = ""
    reason: str = ""


class Answer:
    """An answer whose head has come."""

    def __init__(self, connection: _Connection, code: int, headers: dict[bytes, bytes]) -> None:
        self.code = code
        self.headers = headers
        self._connection = connection

    async def chunk(self, within_s: float = CHUNK_S) -> bytes:
        """The next bytes of the body; b"" at its end. Raises ApiUnreachable."""
        while True:
            event = await self._connection.event(within_s)
            if isinstance(event, h11.Data):
                if event.data:
                    return bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return b""
            else:
                raise ApiUnreachable("the connection was closed within an answer")

    async def body(self, bytes_max: int) -> bytes:
        """The whole body. Raises BodyTooLong, ApiUnreachable."""
        parts: list[bytes] = []
        size = 0
        while part := await self.chunk():
            size += len(part)
            if size > bytes_max:
                raise BodyTooLong
            parts.append(part)
        return b"".join(parts)


class ApiClient:
    """Asks one API server. Not to be shared by tasks: its idle connection is one."""

    def __init__(self, access: ApiAccess) -> None:
        self.access = access
        self._idle: _Connection | None = None

    @contextlib.asynccontextmanager
    async def get(self, target: str, accept: str = "application/json") -> AsyncIterator[Answer]:
        """The answer to a GET of this path and query. Raises ApiUnreachable and ApiRefused.

        Resource handling: what was not read to its end is closed with the context, so a watch ends with it.
        """
        connection, answer = await self._begin(target, accept)
        try:
            if answer.code != 200:
                raise await _refusal(answer)
            yield answer
        except BaseException:
            await connection.close()
            raise
        if connection.is_done():
            self._idle = connection
        else:
            await connection.close()

    async def _begin(self, target: str, accept: str) -> tuple[_Connection, Answer]:
        headers = self._headers(accept)
        idle, self._idle = self._idle, None
        if idle is not None:
            try:
                return idle, await idle.ask(self.access.base + target, headers)
            except ApiUnreachable:  # it was closed while it was idle: anew
                await idle.close()
            except BaseException:
                await idle.close()
                raise
        connection = await _connect(self.access)
        try:
            return connection, await connection.ask(self.access.base + target, headers)
        except BaseException:
            await connection.close()
            raise

    def _headers(self, accept: str) -> list[tuple[str, str]]:
        access = self.access
        host = f"[{access.host}]" if ":" in access.host else access.host
        headers = [("Host", f"{host}:{access.port}"), ("Accept", accept), ("User-Agent", AGENT)]
        try:
            token = access.token()
        except AccessError as error:
            raise ApiUnreachable(str(error)) from None
        if token is not None:
            headers.append(("Authorization", f"Bearer {token}"))
        return headers

    async def close(self) -> None:
        """Close the idle connection."""
        idle, self._idle = self._idle, None
        if idle is not None:
            await idle.close()


class _Connection:
    """One connection: h11's state, a stream."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)

    async def ask(self, target: str, headers: list[tuple[str, str]]) -> Answer:
        try:
            if self._h11.our_state is not h11.IDLE:
                self._h11.start_next_cycle()
            data = self._h11.send(h11.Request(method="GET", target=target, headers=headers)) or b""
            data += self._h11.send(h11.EndOfMessage()) or b""
        except h11.LocalProtocolError as error:
            raise ApiUnreachable(f"a request that cannot be sent: {error}") from None
        try:
            with trio.fail_after(CONNECT_S):
                await self._stream.send_all(data)
        except NETWORK as error:
            raise ApiUnreachable(_why(error)) from None
        event = await self.event(HEAD_S)
        while isinstance(event, h11.InformationalResponse):
            event = await self.event(HEAD_S)
        if not isinstance(event, h11.Response):
            raise ApiUnreachable("the connection was closed instead of an answer")
        return Answer(self, event.status_code, dict(event.headers))

    async def event(self, within_s: float) -> Any:
        """The next of h11's events."""
        try:
            while (event := self._h11.next_event()) is h11.NEED_DATA:
                with trio.fail_after(within_s):
                    self._h11.receive_data(bytes(await self._stream.receive_some(RECEIVE_BYTES)))
        except h11.RemoteProtocolError as error:
            raise ApiUnreachable(f"no HTTP: {error}") from None
        except NETWORK as error:
            raise ApiUnreachable(_why(error)) from None
        return event

    def is_done(self) -> bool:
        """Whether the answer was read to its end and another may follow."""
        return self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE

    async def close(self) -> None:
        await trio.aclose_forcefully(self._stream)


async def _connect(access: ApiAccess) -> _Connection:
    try:
        with trio.fail_after(CONNECT_S):
            tcp = await trio.open_tcp_stream(access.host, access.port)
            if access.context is None:
                return _Connection(tcp)
            tls = trio.SSLStream(tcp, access.context, server_hostname=access.server_name, https_compatible=True)
            try:
                await tls.do_handshake()
            except BaseException:
                await trio.aclose_forcefully(tcp)
                raise
            return _Connection(tls)
    except (*NETWORK, UnicodeError) as error:  # UnicodeError: a name that no resolver could be asked for
        raise ApiUnreachable(_why(error)) from None


async def _refusal(answer: Answer) -> ApiRefused:
    """What the other side says, cut short; a body that is no Status says nothing."""
    try:
        status = msgspec.json.decode(await answer.body(ERROR_BYTES_MAX), type=Status)
        message = status.message
    except (BodyTooLong, msgspec.MsgspecError, UnicodeError):
        message = ""
    printable = "".join(char if char.isprintable() else "?" for char in message[:MESSAGE_MAX])
    return ApiRefused(answer.code, printable, _retry_after(answer.headers.get(b"retry-after")))


def _retry_after(value: bytes | None) -> float | None:
    return min(float(value), 60.0) if value is not None and value.isdigit() else None


def _why(error: BaseException) -> str:
    if isinstance(error, trio.TooSlowError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    cause = error.__cause__
    if isinstance(error, trio.BrokenResourceError) and isinstance(cause, OSError):
        return _why(cause)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
