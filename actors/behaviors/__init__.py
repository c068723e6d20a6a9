"""Runtime behaviors: bodies of sensors -> acts of known pods -> a bounded window. Counterparts: evidence/behavior.py (the wire),
evidence/act.py (what is kept), engine/acts.py (what it lights). Imports no other stage."""

from __future__ import annotations

from actors.behaviors.actor import BehaviorsActor
from actors.behaviors.window import ActsStatistics, ActsWindow

__all__ = ["ActsStatistics", "ActsWindow", "BehaviorsActor"]
