"""Tokens: from a setting or a file, compared in constant time, taken up again when the file changes.

A token itself is kept nowhere: only its keyed hash, under a key that is made anew at each start. Counterparts: web/guard.py asks
for ingest, web/gate.py for the dashboard; the listener's upkeep calls `refresh`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Final

import structlog
from msgspec import Struct

__all__ = ["CHECK_EVERY_S", "CredentialsError", "NoTokens", "Tokens", "TokensStatistics", "bearer"]

CHECK_EVERY_S: Final = 3.0
"""How often the file is read, at most, in seconds of the caller's clock. It is read whole: time stamps can miss a change."""
FILE_BYTES_MAX: Final = 64 * 1024
"""Largest token file. Over it: refused as unusable."""
TOKENS_MAX: Final = 64
"""Tokens at a time, since each costs a comparison for every request. Over it: refused as unusable."""

log = structlog.get_logger(__name__)


class CredentialsError(Exception):
    """There is no token to start with. The text is one line that names the listener and the setting."""


class TokensStatistics(Struct, frozen=True):
    """How many tokens count now, how often a changed file was taken up, how often one could not be used."""

    tokens: int
    reloads: int
    failures: int


def bearer(header: bytes | None) -> bytes | None:
    """The token of an Authorization header (RFC 6750, 2.1): any case of the scheme, white space trimmed; None without one."""
    if header is None:
        return None
    scheme, _, token = header.strip().partition(b" ")
    return (token.strip() or None) if scheme.lower() == b"bearer" else None


class Tokens:
    """The tokens of one listener. `check(token)` gives the credential's name, `token-<line>`, or None.

    `file` wins over `inline`. Raises CredentialsError where neither gives a token. `refresh` keeps the old tokens while the
    file cannot be read or holds none, and says so once.
    """

    def __init__(
        self, *, inline: str | None = None, file: Path | None = None, listener: str, setting: str, now: float = 0.0
    ) -> None:
        self._file = file
        self._key = secrets.token_bytes(32)
        self._hashes: tuple[tuple[bytes, str], ...] = ()
        self._reloads = self._failures = 0
        self._looked_at = now
        self._is_complaining = False
        self._listener = listener
        if file is not None:
            try:
                self._take_up(self._read(file))
            except (OSError, ValueError) as error:
                raise CredentialsError(
                    f"the {listener} listener has no token: {setting}_FILE {file}: {_why(error)}"
                ) from error
        elif inline is not None and inline.strip():
            self._take_up([inline.strip().encode()])
        else:
            raise CredentialsError(f"the {listener} listener has no token: set {setting} or {setting}_FILE")

    def check(self, token: bytes) -> str | None:
        """The name of the credential with this token. Takes the same time whichever it is, or none."""
        presented = self._hash(token)
        found: str | None = None
        for digest, name in self._hashes:
            if hmac.compare_digest(digest, presented):
                found = name
        return found

    def refresh(self, now: float) -> bool:
        """Takes up a changed file, reading at most every CHECK_EVERY_S; whether it did."""
        if self._file is None or now - self._looked_at < CHECK_EVERY_S:
            return False
        self._looked_at = now
        try:
            tokens = self._read(self._file)
        except (OSError, ValueError) as error:
            self._failures += 1
            if not self._is_complaining:
                log.error(
                    "the token file cannot be used; the old tokens stay", listener=self._listener, why=_why(error)
                )
            self._is_complaining = True
            return False
        self._is_complaining = False
        before = self._hashes
        self._take_up(tokens)
        if self._hashes == before:
            return False
        self._reloads += 1
        log.info("took up a changed token file", listener=self._listener, tokens=len(self._hashes))
        return True

    def statistics(self) -> TokensStatistics:
        """Counts since the start."""
        return TokensStatistics(len(self._hashes), self._reloads, self._failures)

    def _take_up(self, tokens: list[bytes]) -> None:
        self._hashes = tuple((self._hash(token), f"token-{line}") for line, token in enumerate(tokens, 1))

    def _hash(self, token: bytes) -> bytes:
        return hmac.digest(self._key, token, hashlib.sha256)

    def _read(self, file: Path) -> list[bytes]:
        with file.open("rb") as opened:
            data = opened.read(FILE_BYTES_MAX + 1)
        if len(data) > FILE_BYTES_MAX:
            raise ValueError(f"larger than {FILE_BYTES_MAX} bytes")
        tokens = [token for line in data.splitlines() if (token := line.strip())]
        if not tokens:
            raise ValueError("holds no token")
        if len(tokens) > TOKENS_MAX:
            raise ValueError(f"holds more than {TOKENS_MAX} tokens")
        return tokens


class NoTokens:
    """For a listener whose senders have certificates and no token is configured: none is right."""

    def check(self, _token: bytes) -> str | None:
        """None."""
        return None

    def refresh(self, _now: float) -> bool:
        """Nothing to look at."""
        return False


def _why(error: Exception) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
