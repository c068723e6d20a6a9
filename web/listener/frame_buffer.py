"""h2's buffer of frames, which meters them: floods end before their frames are worked on, header blocks are bounded by bytes.

Metered frame by frame, since what one read brings may be fourteen thousand frames of nine bytes, and each costs Python code. And
no frame is turned into text: h2 hands `repr(frame)` to its logger for every frame, also to the logger that keeps nothing; for a
frame of data that is its whole body in hexadecimal digits. Fault and remedy: docs/upstream.md. Counterpart: web/listener/http2.py.
"""

from __future__ import annotations

from typing import Final

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.frame_buffer import CONTINUATION_BACKLOG, FrameBuffer
from hyperframe.frame import DataFrame, Frame, HeadersFrame, WindowUpdateFrame

__all__ = ["CONTROL_BURST_S", "SMALL_BURST_S", "SMALL_DATA_BYTES", "Flood", "Frames"]

CONTROL_BURST_S: Final = 10.0
"""How many seconds' worth of control frames (Limits.resets_per_s) may come at once."""
SMALL_BURST_S: Final = 0.4
"""The same for small frames (Limits.small_frames_per_s): some more than a full house of streams needs."""
SMALL_DATA_BYTES: Final = 1024
"""Frames of data from this size on are the body's own business: flow control bounds them."""
_REQUESTS: Final = (HeadersFrame, DataFrame, WindowUpdateFrame)
"""What a request is made of; anything else is a control frame, CONTINUATION and unknown types too."""


class Flood(ProtocolError):  # noqa: N818 - says what happened, as the runtime's exceptions do
    """The peer sends more frames of little or no content than any use of the protocol needs."""

    error_code = ErrorCodes.ENHANCE_YOUR_CALM


class Frames(FrameBuffer):
    """As h2's own, with two meters: control frames, and small frames of requests. Raises Flood at the frame that is over.

    `control_per_s`, `small_per_s`: the average rates; `headers_bytes`: of one encoded header block. `refill` with each read.
    """

    def __init__(
        self,
        *,
        server: bool,
        control_per_s: float = 100.0,
        small_per_s: float = 5000.0,
        headers_bytes: int = 65536,
        now: float = 0.0,
    ) -> None:
        super().__init__(server)
        self._control_per_s, self._small_per_s, self._headers_bytes = control_per_s, small_per_s, headers_bytes
        self._control_room, self._small_room = control_per_s * CONTROL_BURST_S, small_per_s * SMALL_BURST_S
        self._block_bytes = 0
        self._at = now

    def refill(self, now: float) -> None:
        """Time has passed: there is room for as many frames more. `now`: any monotonic clock, in seconds."""
        past_s, self._at = now - self._at, now
        self._control_room = min(
            self._control_per_s * CONTROL_BURST_S, self._control_room + past_s * self._control_per_s
        )
        self._small_room = min(self._small_per_s * SMALL_BURST_S, self._small_room + past_s * self._small_per_s)

    def take_control(self) -> bool:
        """Whether there is room for a control frame more: also for a reset that the peer had us send, as costly as its own."""
        self._control_room -= 1.0
        return self._control_room >= 0.0

    def _update_header_buffer(self, f: Frame | None) -> Frame | None:
        """h2's hook through which each frame goes once, before anything is done with it."""
        if not isinstance(f, _REQUESTS):
            if not self.take_control():
                raise Flood("too many control frames")
        elif not isinstance(f, DataFrame) or len(f.data) < SMALL_DATA_BYTES:
            self._small_room -= 1.0
            if self._small_room < 0.0:
                raise Flood("too many small frames")
        if len(self._headers_buffer) >= CONTINUATION_BACKLOG:
            raise Flood("a header block without end")
        frame = super()._update_header_buffer(f)
        if self._headers_buffer and f is not None:
            self._block_bytes += len(f.data)  # type: ignore[attr-defined]  # of a header block, all have it
            if self._block_bytes > self._headers_bytes:
                raise Flood("a header block without end")
        else:
            self._block_bytes = 0
        if frame is not None:
            frame._body_repr = _unsaid  # type: ignore[method-assign]  # of this frame only
        return frame


def _unsaid() -> str:
    return "..."
