"""The demonstration: `serve` as a second process, a simulated API server as a third, and the story told in the terminal.

Everything is real but the API server and the cluster: TLS by the local CA, HTTP/2, the bearer token, the audit webhook's
batches and retries, the flip log, the API. Generic: an example is a folder with cluster.yaml and story.yaml.
Counterparts: actors.testing.play (the third process), demo_story.py (what is said and demanded), processes.py.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import httpx
import msgspec
import trio
from msgspec import Struct

from actors.testing.cast import CastError, load_cast
from actors.testing.story import Story, StoryError, load_story
from web.demo_story import Judge, Teller, printable
from web.processes import Child, ChildError, free_port, until_signal

__all__ = ["DemoError", "example_folder", "run_demo"]

READY_S: Final = 60.0
"""How long serve may take until /readyz answers 200."""
LOOK_EVERY_S: Final = 0.3
"""How often the API is asked whether the expected chains are lit."""
SETTLE_S: Final = 8.0
"""How long after the story's end what it expects may still become true: an unexplained read is judged 5 s after it came."""
AGAIN_AFTER_S: Final = 60.0
"""How long a demonstration that stays up waits before its story happens again, so that the feed stays alive."""
PAGES_MAX: Final = 50
"""How many pages of a list are read in one look."""
SERVE: Final = (sys.executable, "-P", "-m", "web.cli", "serve")
"""-P: a folder called `web` where the command was typed must not stand in the way."""
PLAYER: Final = (sys.executable, "-P", "-m", "actors.testing.play")


class DemoError(Exception):
    """The demonstration cannot go on. The text is one line, or a line and the end of a process's log."""


class Commands(Struct, frozen=True):
    """The commands of the two processes; tests put others in their place."""

    serve: tuple[str, ...] = SERVE
    player: tuple[str, ...] = PLAYER


def example_folder(name: str) -> Path:
    """The folder of a shipped example, or `name` itself where it is a folder with cluster.yaml and story.yaml."""
    here = Path(__file__).resolve().parent
    candidates = [Path(name)]
    if "/" not in name and name not in ("", ".", ".."):
        candidates = [here / "examples" / name, here.parent / "docs" / "examples" / name, Path(name)]
    for folder in candidates:
        if (folder / "cluster.yaml").is_file() and (folder / "story.yaml").is_file():
            return folder
    raise DemoError(f"no example {name!r}: neither a shipped one nor a folder with cluster.yaml and story.yaml")


class _Look:
    """The API's answers at one moment, fetched for what a story expects. Raises httpx.HTTPError where one fails."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._chains: dict[str, list[Mapping[str, Any]]] = {}
        self._evidence: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        self._duplicates = 0

    async def fetch(self, story: Story) -> _Look:
        """Asks for everything that any scene of the story names."""
        for scene in story.scenes:
            expect = scene.expect
            for chain in (*expect.lit, *expect.expired, *expect.dark):
                if chain.secret not in self._chains:
                    query = {} if chain.secret.endswith("*") else {"secret": chain.secret}
                    self._chains[chain.secret] = await self._pages("/api/chains", "chains", query)
            for read in expect.unexplained:
                query = {"account": read.account, "secret": read.secret}
                self._evidence[read.account, read.secret] = await self._pages("/api/evidence", "evidence", query)
            if expect.duplicates:
                status = await self._get("/api/status", {})
                self._duplicates = int(status["counts"]["duplicates"])
        return self

    async def _get(self, path: str, query: dict[str, str]) -> Any:
        response = await self._client.get(path, params=query)
        response.raise_for_status()
        return msgspec.json.decode(response.content)

    async def _pages(self, path: str, key: str, query: dict[str, str]) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        query = {**query, "limit": "1000"}
        for _ in range(PAGES_MAX):
            page = await self._get(path, query)
            found += page[key]
            if not page["next_cursor"]:
                break
            query["cursor"] = page["next_cursor"]
        return found

    def chains(self, secret: str) -> Sequence[Mapping[str, Any]]:
        """Chains, of this Secret alone where it is one."""
        return self._chains[secret]

    def evidence(self, account: str, secret: str) -> Sequence[Mapping[str, Any]]:
        """Evidence of this account and Secret."""
        return self._evidence[account, secret]

    def duplicates(self) -> int:
        """Repeated batches that were recognised."""
        return self._duplicates


class _Demo:
    """One run: its folder, ports and processes."""

    def __init__(self, example: Path, folder: Path, teller: Teller, commands: Commands) -> None:
        self.example, self.folder, self.teller, self.commands = example, folder, teller, commands
        try:
            self.story = load_story(example / "story.yaml", load_cast(example / "cluster.yaml"))
        except (CastError, StoryError) as error:
            raise DemoError(str(error)) from error
        self.judge = Judge(self.story)
        self.audit_port, self.dashboard_port = free_port(), free_port()
        self.dashboard = f"http://127.0.0.1:{self.dashboard_port}"
        self.token_file = folder / "token"
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(secrets.token_urlsafe(32) + "\n")
        self.played = trio.Event()
        self.lost = 0
        self.again = False

    def serve_settings(self) -> dict[str, str]:
        """The environment of serve: ours without any PROTECTOR_ variable, and what this run needs."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PROTECTOR_")}
        return kept | {
            "PROTECTOR_AUDIT_ADDR": f"127.0.0.1:{self.audit_port}",
            "PROTECTOR_DASHBOARD_ADDR": f"127.0.0.1:{self.dashboard_port}",
            "PROTECTOR_INGEST_TOKEN_FILE": str(self.token_file),
            "PROTECTOR_CLUSTER": str((self.example / "cluster.yaml").resolve()),
            "PROTECTOR_CLUSTER_NAME": self.example.resolve().name,
            "PROTECTOR_STATE_DIR": str(self.folder / "state"),
        }

    def serve(self) -> Child:
        """The second process."""
        return Child("serve", self.commands.serve, self.folder / "serve.log", self.serve_settings())

    def player(self, *, once: bool) -> Child:
        """The third process."""
        options = {
            "--cluster": self.example / "cluster.yaml",
            "--story": self.example / "story.yaml",
            "--url": f"https://127.0.0.1:{self.audit_port}/audit",
            "--ca": self.folder / "state" / "tls" / "ca.crt",
            "--token-file": self.token_file,
        }
        words = [str(word) for pair in options.items() for word in pair]
        words += [] if once else ["--again-after-s", str(AGAIN_AFTER_S)]
        return Child(
            "the simulated API server", (*self.commands.player, *words), self.folder / "player.log", dict(os.environ)
        )

    def flip(self, line: bytes) -> None:
        """One line of serve's stdout."""
        try:
            self.teller.flip(msgspec.json.decode(line, type=dict[str, Any]))
        except msgspec.DecodeError:
            self.teller.line(f"  ? {printable(line.decode('utf-8', 'replace'))}", "odd")

    def told(self, line: bytes) -> None:
        """One line of the player's stdout."""
        try:
            said = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError:
            return
        kind = said.get("event")
        if kind == "scene" and said.get("tell") and not self.again:
            self.teller.scene(said["tell"])
        elif kind == "attempt":
            self.lost += bool(said.get("error")) and said.get("retry_in_s") is None
            self.teller.attempt(said)
        elif kind in ("again", "end"):
            self.again = kind == "again"
            self.played.set()

    async def ready(self, client: httpx.AsyncClient, serve: Child) -> None:
        """Waits until serve says that it is ready."""
        with trio.move_on_after(READY_S):
            while True:
                serve.check()
                try:
                    if (await client.get("/readyz")).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass  # not listening yet
                await trio.sleep(0.1)
        raise DemoError(f"serve was not ready within {READY_S:.0f} s: {serve.tail()}")

    async def watch(self, client: httpx.AsyncClient, serve: Child, player: Child) -> list[str]:
        """Looks at the API until the story is over and all is as expected, or can no longer be. Returns what is missing."""
        deadline: float | None = None
        failed = "the API was never asked"
        while True:
            serve.check()
            try:
                self.judge.look(await _Look(client).fetch(self.story))
                failed = ""
            except (httpx.HTTPError, msgspec.DecodeError, KeyError, TypeError) as error:
                failed = f"the API did not answer as expected: {type(error).__name__}: {printable(error)}"
            if not self.played.is_set():
                player.check(allow_end=True)
                if player.ended and not self.played.is_set():
                    await trio.sleep(LOOK_EVERY_S)  # its last lines may be on their way
                    if not self.played.is_set():
                        raise DemoError(f"the simulated API server ended before its story: {player.tail()}")
            else:
                deadline = deadline or trio.current_time() + SETTLE_S
                missing = self.judge.missing() + ([failed] if failed else [])
                if not missing or self.judge.broken() or trio.current_time() > deadline:
                    return missing
            await trio.sleep(LOOK_EVERY_S)

    async def run(self, *, once: bool) -> int:
        """Both processes from start to end. Returns the exit code."""
        self.teller.line(
            f"{printable(self.story.title)}: starting protector on {printable(self.example.name)}/cluster.yaml"
        )
        client = httpx.AsyncClient(base_url=self.dashboard, timeout=10.0, trust_env=False)
        async with client, self.serve() as serve, trio.open_nursery() as nursery:
            nursery.start_soon(serve.read_lines, self.flip)
            await self.ready(client, serve)
            self.teller.line(f"dashboard: {self.dashboard}", "good")
            async with self.player(once=once) as player:
                nursery.start_soon(player.read_lines, self.told)
                missing = await self.watch(client, serve, player)
                self.verdict(missing)
                if not once:
                    self.teller.line(f"dashboard: {self.dashboard}  (Ctrl-C ends all of it)", "good")
                    while True:
                        serve.check()
                        await trio.sleep(1.0)
            nursery.cancel_scope.cancel()
        return 1 if missing or self.lost else 0

    def verdict(self, missing: list[str]) -> None:
        """Says whether everything was as the story expects."""
        for line in missing:
            self.teller.line(f"  x {printable(line)}", "odd")
        if self.lost:
            self.teller.line(f"  x batches lost: {self.lost}", "odd")
        if not missing and not self.lost:
            self.teller.line(f"\nall {self.judge.expectations} expectations of the story held", "good")


def run_demo(example: Path, *, once: bool, out: TextIO | None = None, commands: Commands | None = None) -> int:
    """Runs an example and tells its story on `out` (stdout).

    `once`: ends with the story. Returns 0 when every expected chain was corroborated and no other, else 1; without `once`
    it stays up until SIGINT or SIGTERM and returns 0 then. Both processes are ended in every case. Raises DemoError where
    the example cannot be read or a process does not do its part.
    """
    out = out or sys.stdout
    teller = Teller(out, color=out.isatty() and not os.environ.get("NO_COLOR"))
    with tempfile.TemporaryDirectory(prefix="protector-demo-") as folder:
        demo = _Demo(example, Path(folder), teller, commands or Commands())

        async def work() -> int:
            return await demo.run(once=once)

        code, failed = None, None
        try:
            code = trio.run(until_signal, work)
        except* (DemoError, ChildError) as group:
            failed = _first(group)
        if failed is not None:
            raise DemoError(str(failed)) from failed
    if code is None:
        teller.line("\nended")
        return 1 if once else 0
    return code


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
