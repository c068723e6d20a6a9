"""The private names of Trio: there as expected today, and missed in one clear line when they are not."""

from __future__ import annotations

from structlog.testing import capture_logs
from trio_run import run

import actors.runtime.trio_private as trio_private
from actors.runtime import open_system
from actors.runtime.trio_private import PRIVATE_NAMES, PrivateName, find, missing


def test_this_trio_has_all_of_them():
    """The version that is installed is one that the runtime was written against."""
    assert missing() == ()


def test_gone_renamed_or_of_another_shape_is_missing():
    """A module that is not there, a name that is not there, a thing that is something else."""
    names = (
        PrivateName("trio._core._nothing", "x", lambda _: True, "a"),
        PrivateName("trio._core._run", "_nothing", lambda _: True, "b"),
        PrivateName("trio._core._run", "_r", lambda found: isinstance(found, str), "c"),
        PRIVATE_NAMES[0],
    )
    assert missing(names) == names[:3]
    assert find(names[2]) is None


def test_opening_a_system_says_so_once(monkeypatch):
    """One line that names what is missing and what follows; the system works all the same."""
    gone = PrivateName("trio._core._run", "_nothing", lambda _: True, "tests cannot use seeded schedules")
    monkeypatch.setattr(trio_private, "missing", lambda: (gone, gone))
    trio_private.check_trio.cache_clear()

    async def main() -> None:
        async with open_system("s"):
            pass

    with capture_logs() as logs:
        run(main)
        run(main)
    trio_private.check_trio.cache_clear()
    (line,) = logs
    assert (line["log_level"], line["therefore"]) == ("warning", "tests cannot use seeded schedules")
    assert line["missing"] == "trio._core._run._nothing, trio._core._run._nothing"
