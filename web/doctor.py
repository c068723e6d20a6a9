"""`protector doctor`: checks with hints, in groups. Data on stdout. Counterparts: one module of checks for each group."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from web.ask import Server
from web.expected_checks import Finding, expected_findings
from web.expected_file import load_entries
from web.feed_checks import cluster_findings, feed_findings
from web.logs import escaped
from web.probe import Target, probe_findings
from web.rights import uses_of_server

__all__ = ["check_expected", "run_doctor", "show_group"]


def check_expected(path: Path, server: Server) -> list[Finding]:
    """The expected readers of the file, held against a running server's history. Raises BadExpected, AskError."""
    entries = load_entries(path)
    known = uses_of_server(server)
    return expected_findings(entries, known.uses, time.time(), since=known.since)


def run_doctor(server: Server, expected: Path | None, out: TextIO, audit: Target | None = None) -> bool:
    """Every group; whether all is fine. `expected`: the file of the expected readers; `audit`: where the synthetic event goes.

    Raises AskError, BadExpected.
    """
    if expected is not None:
        load_entries(expected)  # a file that cannot be read is said before anybody is asked
    status = server.get("/api/status")
    groups = [("audit feed", feed_findings(status)), ("cluster", cluster_findings(status))]
    if audit is not None:
        groups.append(("synthetic event", probe_findings(audit, server)))
    if expected is not None:
        groups.append(("expected readers", check_expected(expected, server)))
    fine = [show_group(title, findings, out) for title, findings in groups]
    if audit is None:
        out.write("synthetic event: not sent; give --audit, or set PROTECTOR_AUDIT_ADDR\n")
    if expected is None:
        out.write("expected readers: no file is set\n")
    return all(fine)


def show_group(title: str, findings: Sequence[Finding], out: TextIO) -> bool:
    """One group; whether all of it is fine."""
    out.write(f"{title}: {'fine' if not findings else f'{len(findings)} to look at'}\n")
    out.writelines(
        escaped(f"  - {finding.what}") + "\n" + escaped(f"    {finding.hint}") + "\n" for finding in findings
    )
    return not findings
