"""`python -m tests.bench [name…]`: runs the named benches; without a name all but those that take many minutes."""

from __future__ import annotations

import importlib
import sys

NAMES = ("runtime", "store", "engine", "storm", "ingest", "load")
ON_DEMAND = ("edge",)


def main() -> int:
    """Exit 0 when every measure holds what it must, 1 when one falls short, 2 for an unknown name."""
    wanted = sys.argv[1:] or list(NAMES)
    if unknown := [name for name in wanted if name.partition(".")[0] not in NAMES + ON_DEMAND]:
        sys.stderr.write(f"no bench {', '.join(unknown)}; there are {', '.join(NAMES + ON_DEMAND)}\n")
        return 2
    fine = True
    for name in wanted:
        for measure in importlib.import_module(f"tests.bench.{name}_bench").measures():
            fine &= measure.ok is not False
            measure.show()
    return 0 if fine else 1


sys.exit(main())
