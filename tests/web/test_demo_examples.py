"""The main job from end to end: the shipped example, the real serve, the real simulated API server, over TLS and HTTP/2."""

from __future__ import annotations

import io
import time

import pytest

from web.demo import example_folder, run_demo


@pytest.mark.slow
def test_the_shipped_story_comes_true():
    """Every chain that the story lights is lit, no other is, what expires expires, and it is over soon enough for a script."""
    out = io.StringIO()
    began = time.monotonic()
    code = run_demo(example_folder("shop"), once=True, out=out)
    assert (code, out.getvalue().count("  x ")) == (0, 0), out.getvalue()
    assert "came again, was recognised and changed nothing" in out.getvalue()
    assert time.monotonic() - began < 40
