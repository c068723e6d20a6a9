"""The garbage collector while a cluster is loaded."""

from __future__ import annotations

import gc

from web.app import collect_seldom


def test_what_is_loaded_is_not_walked_over_again_and_again() -> None:
    """Of three hundred thousand objects that stay, no full collection comes."""
    before = gc.get_threshold()
    try:
        collect_seldom()
        full = gc.get_stats()[2]["collections"]
        kept = [[n] for n in range(300_000)]
        assert gc.get_stats()[2]["collections"] == full
        assert len(kept) == 300_000
    finally:
        gc.set_threshold(*before)
