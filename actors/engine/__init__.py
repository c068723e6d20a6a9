"""Chains, exposure, corroboration and signals: pure core and the engine and announcer actors.

Inside, each module imports those before it: latest, secrets, exposure -> light, granted, nodes -> changes, chains, places -> graph ->
flips, judge, ended_acts, ended, timeline -> edges -> lights -> core -> views, listing, inspect -> answers -> actor;
announce -> announcer.
"""

from __future__ import annotations

from actors.engine.actor import EngineActor, EngineActorStatistics
from actors.engine.announce import Announcements, AnnouncerStatistics
from actors.engine.announcer import AnnouncerActor
from actors.engine.core import Engine
from actors.engine.ended import EndedRing, EndedStatistics
from actors.engine.inspect import secret_view, status_view
from actors.engine.judge import EXPLAIN_AFTER_S
from actors.engine.listing import Listing

__all__ = [
    "EXPLAIN_AFTER_S",
    "Announcements",
    "AnnouncerActor",
    "AnnouncerStatistics",
    "EndedRing",
    "EndedStatistics",
    "Engine",
    "EngineActor",
    "EngineActorStatistics",
    "Listing",
    "secret_view",
    "status_view",
]
