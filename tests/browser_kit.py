"""A real Chromium for the tests of pages: what it is told in a thread of its own, while the Trio loop serves.

Skips, saying what is missing, where there is no Chromium or no playwright. No page may write to its console, break its own
content policy, or ask any other host for anything.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import trio

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
PATIENCE_MS = 15_000
"""No single step may take longer; reached only by a failure."""

Story = Callable[[Any, Any], Any]
"""(a playwright page, its context): what is done and seen."""


def need_chromium() -> None:
    """Skips the test where the browser is not installed on this machine."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: install the system's package `chromium`")
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: it is of the dev group")


async def in_browser(url: str, story: Story, *, may_say: str | None = None, **context: Any) -> Any:
    """Tells the story to a new browser at `url`, and checks what every page has to keep.

    `may_say`: a part of what the browser itself writes to the console because of what the story does.
    """
    return await trio.to_thread.run_sync(_browse, url, story, may_say, context)


def _browse(url: str, story: Story, may_say: str | None, context_values: dict[str, Any]) -> Any:
    from playwright.sync_api import sync_playwright

    said: list[str] = []
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            context = browser.new_context(base_url=url, **context_values)
            context.set_default_timeout(PATIENCE_MS)
            page = context.new_page()
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("request", lambda request: asked.append(request.url))
            seen = story(page, context)
            context.close()
        finally:
            browser.close()
    unexpected = [words for words in said if may_say is None or may_say not in words]
    elsewhere = [address for address in asked if not address.startswith((url, "data:"))]
    assert (unexpected, elsewhere) == ([], []), (unexpected, elsewhere)
    return seen
