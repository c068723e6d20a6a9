"""h2's buffer of frames, whose frames are not turned into text each time one is received.

h2 hands `repr(frame)` to its logger for every frame, also to the logger that keeps nothing; for a frame of data that is its whole body
in hexadecimal digits. Fault and remedy: docs/upstream.md. Counterpart: web/listener/http2.py.
"""

from __future__ import annotations

from h2.frame_buffer import FrameBuffer
from hyperframe.frame import Frame

__all__ = ["Frames"]


class Frames(FrameBuffer):
    """As h2's own, of frames that say nothing of their bodies."""

    def __next__(self) -> Frame:
        frame = super().__next__()
        frame._body_repr = _unsaid  # type: ignore[method-assign]  # of this frame only
        return frame


def _unsaid() -> str:
    return "..."
