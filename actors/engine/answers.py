"""Every question of queries.py with what answers it. Pure; counterpart: actor.py."""

from __future__ import annotations

from typing import Any

from actors.engine.core import Engine
from actors.engine.escalations import escalations_page
from actors.engine.inspect import secret_view, status_view
from actors.engine.listing import Listing
from actors.engine.queries import (
    ChainQuery,
    ChainsQuery,
    EngineStatusQuery,
    EscalationsQuery,
    EvidenceQuery,
    SecretQuery,
)


class Answers:
    """Answers of one engine, each as of its own moment."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._listing = Listing(engine)

    def to(self, question: Any, now: float, *, ready: bool) -> Any:
        """The answer at `now` (epoch seconds); NotImplemented where it is no question. `ready`: whether the engine has heard all."""
        match question:
            case ChainsQuery():
                return self._listing.chains(question, now)
            case ChainQuery():
                return self._listing.chain(question, now)
            case EvidenceQuery():
                return self._listing.evidence(question, now)
            case SecretQuery():
                return secret_view(self._engine, self._listing, question, now)
            case EscalationsQuery():
                return escalations_page(self._engine, question, now)
            case EngineStatusQuery():
                return status_view(self._engine, now, ready=ready)
            case _:
                return NotImplemented
