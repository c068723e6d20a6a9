"""`python -m tests.fuzz [--minutes N | --cases N] [--seed N] [--only N]`: exit 0 without a finding, 1 with one."""

from __future__ import annotations

import argparse
import json
import logging
import secrets
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import structlog
import trio

from fuzz.campaign import run_campaign
from fuzz.cases import make_case


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Sends mutated requests to a server of its own.")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default: 1)")
    parser.add_argument("--cases", type=int, help="how many, instead of how long")
    parser.add_argument("--seed", type=int, default=None, help="what the cases are drawn from (default: a new one)")
    parser.add_argument("--only", type=int, help="write what the case of this number sends to stdout, and send nothing")
    options = parser.parse_args()
    seed = secrets.randbelow(10**9) if options.seed is None else options.seed
    if options.only is not None:
        sys.stdout.buffer.write(make_case(seed, options.only).data)
        return 0
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    sys.stderr.write(f"seed {seed}\n")
    until = time.monotonic() + options.minutes * 60

    def goes_on(number: int) -> bool:
        return number < options.cases if options.cases is not None else time.monotonic() < until

    try:
        report = trio.run(run_campaign, seed, goes_on)
    except (AssertionError, BaseExceptionGroup) as error:
        findings, rest = _split(error)
        if rest is not None:
            raise rest from None
        for finding in findings:
            sys.stderr.write(f"{finding}\n")
        return 1
    line = {
        "seed": seed,
        "cases": report.count,
        "kinds": report.cases,
        "statuses": report.statuses,
        "normal": report.normal,
        "seconds": round(report.seconds, 1),
        "rss_kib": report.rss_kib,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    return 0


def _split(error: BaseException) -> tuple[list[BaseException], BaseException | None]:
    """The findings in it, one by one, and what else is in it."""
    if not isinstance(error, BaseExceptionGroup):
        return [error], None
    ours, rest = error.split(AssertionError)
    found, waiting = [], [ours] if ours is not None else []
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
        else:
            found.append(one)
    return found, rest


sys.exit(main())
