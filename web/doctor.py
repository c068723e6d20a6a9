"""`protector doctor`: checks with hints, in groups. Data on stdout. Counterparts: one module of checks for each group."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from web.ask import Server
from web.expected_checks import Finding, expected_findings
from web.expected_file import load_entries
from web.logs import escaped
from web.rights import uses_of_server

__all__ = ["check_expected", "show_group"]


def check_expected(path: Path, server: Server) -> list[Finding]:
    """The expected readers of the file, held against a running server's history. Raises BadExpected, AskError."""
    entries = load_entries(path)
    known = uses_of_server(server)
    return expected_findings(entries, known.uses, time.time(), since=known.since)


def show_group(title: str, findings: Sequence[Finding], out: TextIO) -> bool:
    """One group; whether all of it is fine."""
    out.write(f"{title}: {'fine' if not findings else f'{len(findings)} to look at'}\n")
    out.writelines(
        escaped(f"  - {finding.what}") + "\n" + escaped(f"    {finding.hint}") + "\n" for finding in findings
    )
    return not findings
