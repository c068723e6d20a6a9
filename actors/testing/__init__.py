"""What tests and demonstrations need around protector: audit events, a simulated API server, stories played against it.

`events` and `reasons` build audit events, `apiserver` sends them as kube-apiserver does, `network` loses some on the way;
`cast` takes callers and bindings from a cluster file, `story` reads a scripted story about them, `noise` is what else a
cluster says, `play` is the process that plays it all. Imports nothing at import time: loading this package costs nothing.
"""

from __future__ import annotations

__all__: list[str] = []
