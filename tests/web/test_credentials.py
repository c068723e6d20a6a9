"""Tokens: what counts as one, when a changed file counts, and that nothing keeps them in the clear."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from web.credentials import CHECK_EVERY_S, FILE_BYTES_MAX, TOKENS_MAX, CredentialsError, Tokens, bearer


def _tokens(file: Path | None = None, inline: str | None = None) -> Tokens:
    return Tokens(inline=inline, file=file, listener="audit", setting="PROTECTOR_INGEST_TOKEN")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"Bearer abc", b"abc"),
        (b"bearer abc", b"abc"),
        (b"BEARER  abc ", b"abc"),
        (b" Bearer\x20\x20abc", b"abc"),
        (b"Bearer", None),
        (b"Bearer ", None),
        (b"Bearerabc", None),
        (b"Basic abc", None),
        (b"abc", None),
        (b"", None),
        (None, None),
    ],
)
def test_a_bearer_header_has_a_token(header: bytes | None, expected: bytes | None) -> None:
    """Any case of the scheme, white space trimmed, an empty token is none."""
    assert bearer(header) == expected


@given(st.binary(max_size=40))
@settings(derandomize=True, deadline=None)
def test_only_the_token_itself_is_right(presented: bytes) -> None:
    """No prefix, no other case, no other bytes."""
    assert (_tokens(inline="Secret-1").check(presented) is not None) == (presented == b"Secret-1")


def test_the_file_wins_and_each_line_is_one(tmp_path: Path) -> None:
    """Blank lines and white space around a token are nothing; names are by order."""
    file = tmp_path / "tokens"
    file.write_bytes(b"first\r\n\n  second  \n")
    tokens = _tokens(file, inline="inline")
    assert [tokens.check(t) for t in (b"first", b"second", b"inline", b"")] == ["token-1", "token-2", None, None]


@pytest.mark.parametrize("content", [None, b"", b" \n\n", b"x" * (FILE_BYTES_MAX + 1), b"t\n" * (TOKENS_MAX + 1)])
def test_no_start_without_a_token(tmp_path: Path, content: bytes | None) -> None:
    """A missing, empty or outsized file names the listener, the setting and the file."""
    file = tmp_path / "tokens"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CredentialsError, match=r"audit listener.*PROTECTOR_INGEST_TOKEN_FILE"):
        _tokens(file, inline="not used")


@pytest.mark.parametrize("inline", [None, "", "  "])
def test_no_start_without_any_setting(inline: str | None) -> None:
    """Both settings are named."""
    with pytest.raises(CredentialsError, match=r"PROTECTOR_INGEST_TOKEN or PROTECTOR_INGEST_TOKEN_FILE"):
        _tokens(inline=inline)


def test_a_changed_file_counts(tmp_path: Path) -> None:
    """Looked at once in CHECK_EVERY_S; what left the file no longer counts, what stayed does."""
    file = tmp_path / "tokens"
    file.write_text("first\nsecond\n")
    tokens = _tokens(file)
    file.write_text("second\nthird\n")
    assert tokens.refresh(CHECK_EVERY_S / 2) is False
    assert tokens.check(b"first") == "token-1"
    assert tokens.refresh(CHECK_EVERY_S) is True
    assert [tokens.check(t) for t in (b"first", b"second", b"third")] == [None, "token-1", "token-2"]
    assert tokens.refresh(2 * CHECK_EVERY_S) is False


def test_a_swapped_link_counts(tmp_path: Path) -> None:
    """As a mounted Secret changes: the name stays, what it points to is another file of the same size and time."""
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("two")
    os.utime(tmp_path / "a", (1, 1))
    os.utime(tmp_path / "b", (1, 1))
    link = tmp_path / "tokens"
    link.symlink_to("a")
    tokens = _tokens(link)
    (tmp_path / "next").symlink_to("b")
    (tmp_path / "next").rename(link)
    assert tokens.refresh(CHECK_EVERY_S) is True
    assert (tokens.check(b"one"), tokens.check(b"two")) == (None, "token-1")


@pytest.mark.parametrize("content", [None, b"", b"\n"])
def test_an_unusable_file_keeps_the_old_tokens(tmp_path: Path, content: bytes | None) -> None:
    """Counted each time, and taken up once it is right again."""
    file = tmp_path / "tokens"
    file.write_text("first")
    tokens = _tokens(file)
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    assert [tokens.refresh(n * CHECK_EVERY_S) for n in (1, 2, 3)] == [False, False, False]
    assert (tokens.check(b"first"), tokens.statistics().failures) == ("token-1", 3)
    file.write_text("second")
    assert tokens.refresh(4 * CHECK_EVERY_S) is True
    assert (tokens.check(b"first"), tokens.check(b"second")) == (None, "token-1")


def test_tokens_are_kept_nowhere(tmp_path: Path) -> None:
    """Neither the token nor a hash that could be looked up is in the object."""
    kept = repr(vars(_tokens(inline="Secret-1")))
    assert "Secret-1" not in kept
