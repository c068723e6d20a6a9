"""What a demonstration says and what it demands: lines for the terminal, and a judge of the expected chains.

Knows no example: everything comes from a story file, the flip log and the API's answers. No socket, clock or file in it.
Counterpart: demo.py, which starts the processes and asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol, TextIO

from msgspec import Struct

from actors.testing.story import ExpectedChain, ExpectedRead, Story

__all__ = ["Judge", "Look", "Teller", "printable"]

_STYLES: Final = {"scene": "1", "lit": "31", "dark": "2", "odd": "33", "good": "32", "plain": ""}
SIGNALS_MAX: Final = 8
"""How many signals of a flip are printed."""


def printable(text: object) -> str:
    """The text with every character that could move a terminal's cursor written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


class Teller:
    """Writes the story line by line. `color`: whether to use it (never on anything but a terminal)."""

    def __init__(self, out: TextIO, *, color: bool) -> None:
        self._out, self._color = out, color
        self._lit: set[str] = set()

    def line(self, text: str, style: str = "plain") -> None:
        """One line, flushed, in a style where colours are on."""
        code = _STYLES[style] if self._color else ""
        self._out.write(f"\x1b[{code}m{text}\x1b[0m\n" if code else f"{text}\n")
        self._out.flush()

    def scene(self, tell: str) -> None:
        """The text of a scene."""
        self.line(f"\n{printable(tell)}", "scene")

    def flip(self, flip: Mapping[str, Any]) -> None:
        """One line of serve's flip log."""
        kind = flip.get("event")
        who = flip.get("workload") or flip.get("service_account")
        known = [flip.get("corroboration"), flip.get("attribution"), flip.get("exposure"), *(flip.get("signals") or ())]
        notes = ", ".join(printable(item) for item in known[: SIGNALS_MAX + 3] if item)
        what = f"{printable(who)} -> {printable(flip.get('secret'))}" + (f"  ({notes})" if notes else "")
        account = f"as {printable(flip.get('service_account'))}"
        if kind == "chain.corroborated":
            self.line(f"  * corroborated  {what}  {account}", "lit")
        elif kind == "chain.expired":
            self.line(f"  o expired       {what}  {account}", "dark")
        elif kind == "read.unexplained":
            self.line(f"  ! unexplained   {what}", "odd")
        else:
            self.line(f"  ? {printable(kind)}  {what}", "odd")

    def attempt(self, attempt: Mapping[str, Any]) -> None:
        """What is worth telling of one attempt to deliver a batch: a failure, a repetition that was recognised."""
        batch, answer = attempt.get("batch"), attempt.get("answer")
        if attempt.get("error"):
            wait_s = attempt.get("retry_in_s")
            then = "it is lost" if wait_s is None else f"the same bytes come again in {wait_s:.1f} s"
            self.line(f"    batch {batch}: {printable(attempt['error'])}; {then}", "dark")
        elif isinstance(answer, dict) and answer.get("duplicate"):
            self.line(f"    batch {batch}: came again, was recognised and changed nothing", "dark")
        elif attempt.get("attempt") != 1:
            self.line(f"    batch {batch}: delivered at attempt {attempt.get('attempt')}", "dark")


class Look(Protocol):
    """Answers of the API at one moment, as the judge asks for them."""

    def chains(self, secret: str) -> Iterable[Mapping[str, Any]]:
        """Chains of `/api/chains`, of this Secret alone where it is one ("ns/name")."""

    def evidence(self, account: str, secret: str) -> Iterable[Mapping[str, Any]]:
        """Evidence of `/api/evidence` of this account and Secret."""

    def duplicates(self) -> int:
        """`counts.duplicates` of `/api/status`."""


def _object(value: Any) -> str:
    if not value:
        return ""
    return "/".join(part for part in (value.get("kind"), value.get("namespace"), value.get("name")) if part)


def _is_of(expected: ExpectedChain, chain: Mapping[str, Any]) -> bool:
    if _object(chain.get("entry")) != expected.workload:
        return False
    if expected.reach is not None and chain.get("reach") != expected.reach:
        return False
    return expected.binding is None or _object((chain.get("grant") or {}).get("binding")) == expected.binding


def _as_text(expected: ExpectedChain) -> str:
    via = expected.binding or expected.reach or "any grant"
    sure = f", {expected.corroboration}" if expected.corroboration else ""
    return f"{expected.workload} -> {expected.secret} (by {via}{sure})"


class _Seen(Struct):
    """What was seen of one expected chain over all looks."""

    known: bool = False
    lit: bool = False
    lit_now: bool = False
    corroborations: set[str] = set()


class Judge:
    """Compares looks at the API with everything a story expects.

    `missing` is what is not (yet) true, one line each; `broken` what can no longer become true.
    """

    def __init__(self, story: Story) -> None:
        self._lit: list[tuple[int, ExpectedChain]] = []
        self._expired: list[tuple[int, ExpectedChain]] = []
        self._dark: list[tuple[int, ExpectedChain]] = []
        self._reads: list[tuple[int, ExpectedRead]] = []
        self._duplicates = self._duplicates_seen = 0
        for number, scene in enumerate(story.scenes, 1):
            self._lit += [(number, chain) for chain in scene.expect.lit]
            self._expired += [(number, chain) for chain in scene.expect.expired]
            self._dark += [(number, chain) for chain in scene.expect.dark]
            self._reads += [(number, read) for read in scene.expect.unexplained]
            self._duplicates = max(self._duplicates, scene.expect.duplicates)
        self._seen = {chain: _Seen() for _, chain in (*self._lit, *self._expired, *self._dark)}
        self._unexplained: set[ExpectedRead] = set()
        self.expectations = len(self._lit) + len(self._expired) + len(self._dark) + len(self._reads)

    def look(self, look: Look) -> None:
        """Takes in one look."""
        for expected, seen in self._seen.items():
            chains = [chain for chain in look.chains(expected.secret) if _is_of(expected, chain)]
            seen.known = seen.known or bool(chains)
            seen.lit_now = any(chain.get("corroborated") for chain in chains)
            seen.lit = seen.lit or seen.lit_now
            seen.corroborations |= {str(chain["corroboration"]) for chain in chains if chain.get("corroboration")}
        for _, read in self._reads:
            if any(item.get("explained") is False for item in look.evidence(read.account, read.secret)):
                self._unexplained.add(read)
        if self._duplicates:
            self._duplicates_seen = max(self._duplicates_seen, look.duplicates())

    def broken(self) -> list[str]:
        """Chains that were lit and must not be."""
        return [f"scene {n}: lit, but nothing used it: {_as_text(c)}" for n, c in self._dark if self._seen[c].lit]

    def missing(self) -> list[str]:
        """Everything that is not as the story expects, in the story's order."""
        found = self.broken()
        for number, chain in (*self._lit, *self._expired):
            seen = self._seen[chain]
            if not seen.lit:
                why = "never corroborated" if seen.known else "no such chain"
                found.append(f"scene {number}: {why}: {_as_text(chain)}")
            elif chain.corroboration is not None and chain.corroboration not in seen.corroborations:
                found.append(f"scene {number}: corroborated, but only {_words(seen.corroborations)}: {_as_text(chain)}")
        for number, chain in self._expired:
            if self._seen[chain].lit and self._seen[chain].lit_now:
                found.append(f"scene {number}: has not expired: {_as_text(chain)}")
        found += [f"scene {n}: no such chain: {_as_text(c)}" for n, c in self._dark if not self._seen[c].known]
        found += [
            f"scene {n}: not reported as unexplained: {r.account} -> {r.secret}"
            for n, r in self._reads
            if r not in self._unexplained
        ]
        if self._duplicates_seen < self._duplicates:
            found.append(f"repeated batches recognised: {self._duplicates_seen}, not {self._duplicates}")
        return found


def _words(found: set[str]) -> str:
    return " and ".join(sorted(found)) or "without saying how"
