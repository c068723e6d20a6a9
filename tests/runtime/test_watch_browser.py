"""The pages in a real Chromium: kept live without a reload, paused, counted down, by keyboard, without scripts, wide and narrow."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.lowlevel
from browser_kit import in_browser, need_chromium
from edge_kit import served
from trio_run import run
from watch_kit import TOKEN, Barista, Brew, Hold, Spill, cafe

from actors.runtime import Child, DynamicSpec

pytestmark = pytest.mark.slow


def browse(story: Any, prepare: Any = None, *, specs: Any = None, **context: Any) -> Any:
    """What `story(page, there)` gives back; `there.system` may be told things with trio.from_thread.run_sync."""
    need_chromium()

    async def main() -> Any:
        more = {} if specs is None else {"specs": specs}
        async with cafe(real_time=True, **more) as there, served(there.app, tls=False) as server:
            if prepare is not None:
                prepare(there)
                await trio.lowlevel.checkpoint()
            return await in_browser(server.url, lambda page, _: story(page, there), **context)

    return run(main, real_time=True)


def tell(there: Any, path: str, message: Any) -> None:
    trio.from_thread.run_sync(there.system.ref(path).tell, message)


def test_kept_live_without_a_reload():
    """A crash appears by itself, with its countdown, and its end; the page was loaded once."""

    def story(page: Any, there: Any) -> str:
        page.goto("/actors")
        page.evaluate("window.kept = true")
        row = page.locator('[data-row="/cafe/bar/barista"]')
        assert "running" in row.inner_text()
        tell(there, "/cafe/bar/barista", Spill())
        row.locator(".w-backoff").wait_for()
        countdown = row.locator("time[data-countdown]")
        first = countdown.inner_text()
        page.wait_for_function(
            "before => document.querySelector('time[data-countdown]').textContent !== before", arg=first
        )
        assert page.evaluate("window.kept") is True
        return first

    assert browse(story).startswith("in ")


def test_pause_is_visible_and_holds():
    """Paused, the page stays as it is and says so; live again, it catches up."""

    def story(page: Any, there: Any) -> None:
        page.goto("/actors")
        pause = page.locator("#pause")
        pause.click()
        assert (pause.inner_text(), pause.get_attribute("aria-pressed")) == ("Paused", "true")
        tell(there, "/cafe/bar/barista", Spill())
        page.locator("#bar", has_text="new").wait_for()
        assert "running" in page.locator('[data-row="/cafe/bar/barista"]').inner_text()
        pause.click()
        page.locator('[data-row="/cafe/bar/barista"] .w-backoff').wait_for()
        assert page.locator("#bar").is_hidden()

    browse(story)


def test_reader_further_down_is_not_moved():
    """Whoever has scrolled stays where they are, while the figures of the rows go on."""
    specs = (DynamicSpec("guests", lambda key: Child(key, Barista)),)

    def fill(there: Any) -> None:
        for n in range(60):
            there.system.dynamic("/cafe/guests").ref(f"g{n:02}")

    def story(page: Any, there: Any) -> tuple[float, float]:
        page.goto("/actors/cafe/guests?sort=name")
        page.evaluate("window.scrollTo(0, 1500)")
        seen_at = "document.querySelector('[data-row=\"/cafe/guests/g30\"]').getBoundingClientRect().top"
        before = page.evaluate(seen_at)
        cell = page.locator('[data-row="/cafe/guests/g30"] [data-label="Handled"]')
        assert cell.inner_text().startswith("0")
        tell(there, "/cafe/guests/g30", Brew())
        page.wait_for_function(
            "() => document.querySelector('[data-row=\"/cafe/guests/g30\"] [data-label=Handled]').textContent.startsWith('1')"
        )
        return before, page.evaluate(seen_at)

    before, after = browse(story, fill, specs=specs)
    assert before == pytest.approx(after, abs=2)


def test_restart_by_keyboard_alone():
    """From the actor's page through the question to the new incarnation, without a pointer."""

    def story(page: Any, there: Any) -> list[str]:
        page.goto("/actors/cafe/bar/barista")
        page.locator("text=Restart…").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/-/confirm**")
        assert page.evaluate("document.activeElement.id") == "operator_token"
        page.keyboard.type(TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_url("**/actors/cafe/bar/barista")
        page.locator(".w-taken", has_text="done").wait_for()
        return [taken.outcome for taken in there.log] + [page.locator("dl.w-facts").first.inner_text()]

    outcome, facts = browse(story)
    assert outcome == "done"
    assert "2, up" in facts


def test_first_stop_of_the_keyboard_is_the_skip_link():
    """Tab goes to the skip link first, and every button and link after it can be reached."""

    def story(page: Any, _: Any) -> list[str]:
        page.goto("/actors")
        names = []
        for _step in range(8):
            page.keyboard.press("Tab")
            names.append(page.evaluate("document.activeElement.textContent.trim()"))
        return names

    assert browse(story)[:4] == ["Skip to content", "cafe", "Live", "theme system"]


def test_works_without_scripts():
    """Without scripts every page is whole; search and paging are links and forms."""

    def story(page: Any, _: Any) -> str:
        page.goto("/actors")
        page.locator("input[name=q]").fill("till")
        page.locator("text=Apply").click()
        page.wait_for_url("**q=till**")
        return page.locator("caption").inner_text()

    assert browse(story, java_script_enabled=False).startswith("1 of 5 actors match")


def test_nothing_is_wider_than_the_window():
    """No page scrolls sideways as a whole, from a telephone to a wide screen."""

    def busy(there: Any) -> None:
        there.system.ref("/cafe/bar/till").tell(Hold())
        there.system.ref("/cafe/bar/barista").tell(Spill())
        there.system.dynamic("/cafe/guests").ref("a-guest-with-a-very-long-name." * 6)

    def story(page: Any, _: Any) -> set[Any]:
        over = set()
        paths = ("/actors", "/actors?sort=name", "/actors/cafe/bar/barista", "/actors/-/crashes", "/actors/-/letters")
        # The question first: it is about this incarnation, which is over when the barista's backoff is.
        for path in ("/actors/-/confirm?action=kill&path=/cafe/bar/till&incarnation=1", *paths):
            page.goto(path)
            for width in (360, 800, 1280, 1900):
                page.set_viewport_size({"width": width, "height": 800})
                wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                over.add((path, width, wider) if wider else None)
        return over

    assert browse(story, busy) == {None}


def test_themes():
    """The system's theme is followed, the button chooses another, and the choice is there before the first paint of the next page."""

    def story(page: Any, _: Any) -> list[str]:
        colour = "getComputedStyle(document.body).backgroundColor"
        page.goto("/actors")
        seen = [page.evaluate(colour)]
        page.locator("#theme").click()
        seen.append(page.evaluate(colour))
        page.goto("/actors/-/crashes")
        seen.append(page.evaluate("document.documentElement.dataset.theme"))
        return seen

    dark, light, kept = browse(story, color_scheme="dark")
    assert (dark != light, kept) == (True, "light")


def test_what_is_gone_is_told_as_out_of_date():
    """When the server does not answer any more, the page says since when what it shows is not up to date."""

    def story(page: Any, there: Any) -> str:
        page.goto("/actors")
        page.route("**/actors", lambda route: route.abort())
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        bar = page.locator("#bar.stale")
        bar.wait_for()
        return bar.inner_text()

    words = browse(story, may_say="ERR_FAILED")
    assert words.startswith("Not up to date: what is shown is of ")
