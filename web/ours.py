"""Others may have packages called `actors` and `web`: whether those that were imported are ours."""

from __future__ import annotations

import importlib
from pathlib import Path

MARK = "py.typed"


def check_packages() -> str | None:
    """One line saying which package shadows ours and what to do, or None where both are ours."""
    here = Path(__file__).resolve().parent.parent
    for name in ("actors", "web"):
        found = getattr(importlib.import_module(name), "__file__", None)
        if found is None or Path(found).resolve().parent != here / name:
            return (
                f"the package {name!r} that Python found is not protector's ({found or 'a folder without __init__.py'}); "
                f"start it where no folder called {name} stands in the way, or through the protector command"
            )
    return None
