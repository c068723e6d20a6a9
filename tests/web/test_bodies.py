"""Compressed bodies unfold within the cap and the budget, and are refused beyond."""

from __future__ import annotations

import gzip
import random
from typing import Any

import pytest
import trio

from web.bodies import LOOP_BYTES_MAX, MEMBERS_MAX, PIECE_BYTES, Body
from web.guard import BodyBudget
from web.ingest_answers import FULL, TOO_LARGE, Answer

CAP = 10_000_000


def unfolded(raw: bytes, *, cap: int = CAP, budget: int = 4 * CAP) -> tuple[Answer | None, bytes, Body]:
    """The answer, the body afterwards, and the record of it, whose bytes are given back."""
    room = BodyBudget(budget)
    body = Body(room, cap)
    halves = [raw[: len(raw) // 2], raw[len(raw) // 2 :]]

    async def receive() -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        part = halves.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(halves)}

    async def main() -> tuple[Answer | None, bytes, Body]:
        assert await body.read(receive) is None
        answer = await body.unfold()
        return answer, b"" if answer else body.whole(), body

    found = trio.run(main)
    assert room.in_use <= budget
    body.release()
    assert room.in_use == 0
    return found


TEXT = random.Random(7).randbytes(60_000).hex().encode() * 20


@pytest.mark.parametrize("size", [0, 1, LOOP_BYTES_MAX - 1, LOOP_BYTES_MAX, LOOP_BYTES_MAX + 1, len(TEXT)])
def test_what_was_compressed_comes_out(size: int) -> None:
    """On the loop and in a thread, in one member and in several."""
    text = TEXT[:size]
    members = gzip.compress(text[: size // 2]) + gzip.compress(text[size // 2 :])
    assert [unfolded(raw)[:2] for raw in (gzip.compress(text), members)] == [(None, text)] * 2


def test_many_pieces_come_out_in_order() -> None:
    """Of what unfolds in several steps."""
    text = b"".join(b"%09d" % number for number in range(1_000_000))
    assert len(text) > 2 * PIECE_BYTES
    assert unfolded(gzip.compress(text, 1))[:2] == (None, text)


@pytest.mark.parametrize("cap", [1000, LOOP_BYTES_MAX, PIECE_BYTES + 5])
@pytest.mark.parametrize("over", [0, 1, 100_000])
def test_a_bomb_is_refused_at_the_cap(cap: int, over: int) -> None:
    """One byte over it; exactly the cap is no bomb."""
    answer, text, body = unfolded(gzip.compress(bytes(cap + over)), cap=cap)
    assert (answer, len(text), body.is_bomb) == ((TOO_LARGE, 0, True) if over else (None, cap, False))


def test_what_is_unfolded_counts_as_held() -> None:
    """Over the budget of all bodies: 503, and it is no bomb."""
    answer, _, body = unfolded(gzip.compress(bytes(1_000_000)), budget=500_000)
    assert (answer, body.is_bomb) == (FULL, False)


def test_too_many_members_are_refused() -> None:
    """Each would cost a copy of the rest."""
    member = gzip.compress(b"")
    assert unfolded(member * MEMBERS_MAX)[:2] == (None, b"")
    answer, _, body = unfolded(member * (MEMBERS_MAX + 1))
    assert (answer, body.is_bomb) == (TOO_LARGE, True)


def test_of_a_cut_body_what_is_there_comes_out() -> None:
    """And the parser says that it is cut."""
    raw = gzip.compress(TEXT)
    answer, text, _ = unfolded(raw[:-2000])
    assert answer is None
    assert len(text) > LOOP_BYTES_MAX
    assert TEXT.startswith(text)


@pytest.mark.parametrize(
    "raw", [b"", b"x", b"{}", b"\x1f\x8b", b"\x1f\x8b" + bytes(40), gzip.compress(b"{}")[:-8] + b"damage!!"]
)
def test_what_is_no_gzip_is_taken_as_it_came(raw: bytes) -> None:
    """It is no JSON then, and counted as such."""
    assert unfolded(raw)[:2] == (None, raw)
