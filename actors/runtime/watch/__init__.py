"""A system in the browser: pages, API and events, mounted into any Quart-Trio application by one call, `watch_system`.

Needs quart-trio and Jinja2, which the rest of the runtime never imports. Who may import whom inside:
  words, reading                       the runtime only
  rows, sampler, actions, api          reading, words
  spark, frame, stream, told           the above
  parameters, shown, pages, acting     the above
  mount                                everything
"""

from __future__ import annotations

from actors.runtime.watch.actions import Actions, ActionTaken, Presented, TooManyTries
from actors.runtime.watch.frame import STATIC, Layout, Page, static_version
from actors.runtime.watch.mount import Watch, WatchStatistics, watch_system
from actors.runtime.watch.rows import Totals, totals_of
from actors.runtime.watch.stream import EVENT_NAMES

__all__ = [
    "EVENT_NAMES",
    "STATIC",
    "ActionTaken",
    "Actions",
    "Layout",
    "Page",
    "Presented",
    "TooManyTries",
    "Totals",
    "Watch",
    "WatchStatistics",
    "static_version",
    "totals_of",
    "watch_system",
]
