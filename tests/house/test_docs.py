"""The documentation says what the code does, wherever a test can tell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from actors.config import SETTINGS

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def test_every_setting_is_described_with_its_words() -> None:
    """docs/reference/settings.md has one row for each setting, with the text that --help shows, and no other."""
    rows = [
        line
        for line in (ROOT / "docs/reference/settings.md").read_text().splitlines()
        if line.startswith("| `PROTECTOR_")
    ]
    assert [(r.split("`")[1], r.split("|")[4].strip()) for r in rows] == [
        (s.variable, s.help.replace("|", " or ")) for s in SETTINGS
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """No page points to a file that is not there."""
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target
