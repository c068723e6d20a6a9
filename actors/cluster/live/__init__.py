"""The Kubernetes API as the cluster's source: a client of our own, one watcher for each kind. Counterpart: actor.py (who is told).

`access` finds the API server and the credentials, `client` speaks HTTP/1.1 over TLS, `kinds` says what is watched, `pages` takes
lists and watch lines apart, `follow` is the loop of one kind, `watcher` its actor. Light: import the rest where it is.
"""

from __future__ import annotations

__all__: list[str] = []
