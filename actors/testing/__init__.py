"""The embedded test harness: what other suites import to test their policies and their actors, and this project to test itself.

What is stable (docs/testing.md says what that means): the fixtures of the pytest plugin, and the names in `__all__` here. Every other
module may change. Nothing is imported at import time: a suite that has the plugin installed and does not use it pays for nothing.

Who may import whom inside, each those above it:
  times, reasons, events, bridge, journal, taps       nothing of the harness but one another, leftwards
  cast, manifests                                     who acts, files
  objects, sentences                                  the words of tests: what exists, who asks
  faults, timeline                                    what goes wrong, what a failure says
  session                                             one test's world
  posting, recorded, checks, conservation, probes     what is done with it
  protector, letters, interleavings, strategies       what a test holds
  hosting, plugin                                     how pytest runs it
  apiserver, network                                  a sender as kube-apiserver is one; kube: a Kubernetes API, where there is one
  story, noise, play                                  scripted stories, for demonstrations
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors.testing.apiserver import SenderOptions, SimulatedApiServer
    from actors.testing.bridge import Explained
    from actors.testing.checks import PolicyViolated
    from actors.testing.conservation import InvariantBroken
    from actors.testing.faults import Crash
    from actors.testing.marks import schedules
    from actors.testing.objects import Cluster
    from actors.testing.probes import Unexpected
    from actors.testing.protector import Clock, Protector
    from actors.testing.sentences import Audit, Sentence
    from actors.testing.worlds import open_protector

__all__ = [
    "Audit",
    "Clock",
    "Cluster",
    "Crash",
    "Explained",
    "InvariantBroken",
    "PolicyViolated",
    "Protector",
    "SenderOptions",
    "Sentence",
    "SimulatedApiServer",
    "Unexpected",
    "open_protector",
    "schedules",
]

_HOMES = {
    "Audit": "sentences",
    "Clock": "protector",
    "Cluster": "objects",
    "Crash": "faults",
    "Explained": "bridge",
    "InvariantBroken": "conservation",
    "PolicyViolated": "checks",
    "Protector": "protector",
    "SenderOptions": "apiserver",
    "Sentence": "sentences",
    "SimulatedApiServer": "apiserver",
    "Unexpected": "probes",
    "open_protector": "worlds",
    "schedules": "marks",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - as said above

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
