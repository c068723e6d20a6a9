"""`protector chains` and `protector actors`: ask a running server over its API and print the answer. Counterpart: web/api.py."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import httpx
import msgspec

from web.logs import escaped

TIMEOUT_S: Final = 30.0
PAGES_MAX: Final = 1000
"""Pages of one list that are followed at most (1,000 items each)."""


class AskError(Exception):
    """The server did not answer as it should. One line for the person: what, where, what to do."""


class Server:
    """A running protector, by its dashboard address (`http://host:port`)."""

    def __init__(self, url: str, token_file: Path | None = None, ca: Path | None = None) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Accept": "application/json"}
        if token_file is not None:
            self._headers["Authorization"] = f"Bearer {_first_token(token_file)}"
        try:
            self._verify = ssl.create_default_context(cafile=None if ca is None else str(ca))
        except (OSError, ssl.SSLError) as error:
            raise AskError(f"--ca {ca}: {getattr(error, 'reason', None) or error.strerror or 'no PEM file'}") from None

    def get(self, path: str, **query: str) -> Any:
        """The decoded JSON of one answer; AskError for anything but 200."""
        try:
            answer = httpx.get(
                self.url + path, params=query, headers=self._headers, verify=self._verify, timeout=TIMEOUT_S
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise AskError(
                f"{self.url} does not answer ({error}); is `protector serve` running there? --server names it"
            ) from None
        if answer.status_code in (401, 403):
            raise AskError(f"{self.url} wants the viewer token: give --token-file")
        if answer.status_code != httpx.codes.OK:
            raise AskError(f"{self.url}{path} answered {answer.status_code}: {escaped(answer.text[:200])}")
        try:
            return msgspec.json.decode(answer.content)
        except msgspec.DecodeError:
            raise AskError(
                f"{self.url}{path} did not answer with JSON; is that protector's dashboard address?"
            ) from None

    def pages(self, path: str, key: str, **query: str) -> list[dict[str, Any]]:
        """Every item of a paged list."""
        items: list[dict[str, Any]] = []
        for _ in range(PAGES_MAX):
            page = self.get(path, limit="1000", **query)
            items += page[key]
            if not page["next_cursor"]:
                return items
            query["cursor"] = page["next_cursor"]
        raise AskError(f"{self.url}{path}: more than {PAGES_MAX} pages")


def _first_token(file: Path) -> str:
    try:
        lines = file.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        raise AskError(f"--token-file {file}: cannot be read as text of one token a line") from None
    if not lines:
        raise AskError(f"--token-file {file}: holds no token")
    return lines[0]


def table(rows: Sequence[tuple[str, ...]], out: TextIO) -> None:
    """Rows as columns of equal width, the first row as the heading; no control character comes out raw."""
    shown = [tuple(escaped(cell) for cell in row) for row in rows]
    widths = [max(len(row[i]) for row in shown) for i in range(len(shown[0]))]
    out.writelines("  ".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in shown)


def scope_text(name: dict[str, str | None]) -> str:
    """`ns/name`, `ns/*`, `*/name` or `*`."""
    namespace, own = name["namespace"], name["name"]
    if namespace is None and own is None:
        return "*"
    return f"{namespace or '*'}/{own or '*'}"


def chain_rows(chains: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The table of chains, heading first."""
    rows: list[tuple[str, ...]] = [("STATE", "EXPOSURE", "WORKLOAD", "ACCOUNT", "GRANT", "SECRET", "SIGNALS")]
    for chain in chains:
        entry, account, grant = chain["entry"], chain["service_account"], chain["grant"]
        signals = sorted({signal for piece in chain["evidence"] for signal in piece["signals"]})
        binding = grant and grant["binding"]
        rows.append((
            (chain["corroboration"] or "-") + (" (expected)" if chain["corroborated"] and not chain["open"] else ""),
            entry["exposure"],
            f"{entry['kind']}/{entry['namespace']}/{entry['name']}",
            f"{account['namespace']}/{account['name']}" if account else "-",
            (f"{binding['kind']}/{binding['name']}" + (" (revoked)" if grant["revoked"] else "")) if binding else chain["reach"],
            scope_text(chain["objective"]),
            ",".join(signals) or "-",
        ))  # fmt: skip
    return rows


def show_chains(server: Server, *, everything: bool, output: str, out: TextIO) -> int:
    """Prints the chains; 1 if any is corroborated, else 0."""
    query = {} if everything else {"corroborated": "true"}
    chains = server.pages("/api/chains", "chains", **query)
    feed = server.get("/api/chains", limit="1")["feed"]
    if feed["state"] != "live":
        since = feed["last_batch_at"]
        why = "no audit batch ever arrived" if since is None else f"no audit batch since {since}"
        sys.stderr.write(f"protector: unknown, not quiet: {why}\n")
    if output == "json":
        out.write(msgspec.json.encode(chains).decode() + "\n")
    else:
        table(chain_rows(chains), out)
    return 1 if any(chain["corroborated"] for chain in chains) else 0


def _walk(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    queue = list(reversed(nodes))
    while queue:
        node = queue.pop()
        found.append(node)
        queue += reversed(node["children"])
    return found


def show_actors(server: Server, *, output: str, out: TextIO) -> int:
    """Prints the tree of actors; 1 if any is not running, else 0."""
    tree = server.get("/api/actors")["actors"]
    nodes = _walk(tree)
    if output == "json":
        out.write(msgspec.json.encode(tree).decode() + "\n")
    else:
        rows: list[tuple[str, ...]] = [("STATE", "RESTARTS", "MAILBOX", "HIGH", "HANDLED", "FAILED", "P99 MS", "PATH")]
        for node in nodes:
            restarts, mailbox = node["restarts"], node["mailbox"]
            rows.append((
                node["state"],
                f"{restarts['count']} of {restarts['max']} in {restarts['within_s']:g} s",
                f"{mailbox['depth']}/{mailbox['capacity']}",
                str(mailbox["high_water"]),
                str(node["handled"]),
                str(node["failed"]),
                f"{node['handle_ms']['p99'] or 0.0:.2f}",
                node["path"],
            ))  # fmt: skip
        table(rows, out)
    return 1 if any(node["state"] != "running" for node in nodes) else 0
