"""What one call changed: the revision, the flips, and how many objects were touched. Pure bookkeeping of the engine."""

from __future__ import annotations

from actors.engine.nodes import Chain
from actors.messages import Flip


class Changes:
    """Shared by the parts of the engine. `answers`: something changed that /api/chains answers."""

    __slots__ = ("answers", "flips", "touched", "unsettled")

    def __init__(self) -> None:
        self.answers = False
        self.touched = 0
        """Objects looked at or changed, in all: must not depend on how large the cluster is (design 5, Engine)."""
        self.flips: list[Flip] = []
        self.unsettled: dict[Chain, None] = {}
        """Chains whose light, or reason to be listed, may have changed in this call."""
