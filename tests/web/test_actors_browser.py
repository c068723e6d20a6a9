"""The actors' pages in the product's frame, in a real Chromium, and an operator's action through the gate and its headers."""

from __future__ import annotations

from typing import Any

import pytest
import web_stand_ins as w
from browser_kit import in_browser, need_chromium
from edge_kit import served
from trio_run import run
from watch_kit import SPECS, TOKEN

from actors.runtime import open_system
from web.credentials import Tokens
from web.dashboard import make_dashboard
from web.gate import Access
from web.operators import actions_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("width", [380, 1280])
def test_action_in_the_products_frame(width, capsys):
    """The pages stand in the product's frame and style; restart works under its policy, a wrong token does not; both are logged."""
    need_chromium()

    def story(page: Any, _: Any) -> None:
        page.goto("/actors/cafe/bar/barista")
        assert page.locator(".top nav a").all_inner_texts() == ["Chains", "Escalations", "Evidence", "Actors"]
        assert page.evaluate("getComputedStyle(document.querySelector('.w-panel')).borderTopWidth") == "1px"
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
        page.locator("text=Restart…").click()
        page.locator("#operator_token").fill(TOKEN)
        page.locator("button", has_text="Restart").click()
        page.wait_for_url("**/actors/cafe/bar/barista")
        page.locator(".w-taken", has_text="done").wait_for()
        page.goto("/actors")
        assert page.locator(".top nav a[aria-current]").inner_text() == "Actors"

    async def main() -> None:
        async with open_system("cafe") as system:
            await system.start(*SPECS)
            tokens = Tokens(inline=TOKEN, listener="dashboard", setting="PROTECTOR_OPERATOR_TOKEN")
            sources = w.made_up(system=system, clock=system.clock)
            app = make_dashboard(sources, Access(), actions_of(tokens, system.clock.now))
            async with served(app, tls=False) as server:
                await in_browser(server.url, story, viewport={"width": width, "height": 800})
            assert system.snapshot().children[0].children[0].incarnation == 2

    run(main, real_time=True)
    said = capsys.readouterr().out
    assert "an operator's action" in said
    assert "operator=token-1" in said
    assert TOKEN not in said
