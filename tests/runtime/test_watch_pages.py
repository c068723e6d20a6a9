"""The pages over a system that is not the product's: what they tell, their honest states, hostile names, the policy they keep."""

from __future__ import annotations

import json
import re

import pytest
import trio
from quart_trio import QuartTrio
from trio_run import run
from watch_kit import Brew, Cafe, Checker, Hold, Spill, cafe, plain_words

from actors.runtime import Child, DynamicSpec, VirtualClock, open_system
from actors.runtime.watch import watch_system

PATHS = (
    "/actors",
    "/actors?q=bar",
    "/actors?sort=need&show=running",
    "/actors/cafe",
    "/actors/cafe/bar/barista",
    "/actors/cafe/guests",
    "/actors/-/crashes",
    "/actors/-/crashes/1",
    "/actors/-/letters",
    "/actors/-/confirm?action=stop&path=/cafe/bar/barista&incarnation=1",
    "/actors/nobody",
    "/actors?page=x",
)


async def busy(there: Cafe) -> None:
    """A guest, something in hand, something that waits, overflows, and a crash with its backoff."""
    system = there.system
    system.dynamic("/cafe/guests").ref("ada")
    for _ in range(4):
        system.ref("/cafe/bar/till").tell(Hold())
    system.ref("/cafe/guests/ada").tell(Brew())
    await trio.testing.wait_all_tasks_blocked()
    system.ref("/cafe/bar/barista").tell(Spill())
    system.ref("/cafe/bar/barista").tell(Brew())
    await trio.testing.wait_all_tasks_blocked()


def test_tree_tells_everything_that_is_watched():
    """State, strategy, restarts against the allowance, the countdown, mailbox against its bound, high water, overflows."""

    async def main() -> tuple[str, str]:
        async with cafe() as there:
            await busy(there)
            return await there.words("/actors"), (await there.get("/actors"))[1]

    text, page = run(main)
    assert "bar Supervisor, rest for one, permanent running" in text
    assert "1 of 4 in 400 s" in text
    assert "barista Barista, permanent backoff starts again in" in text
    assert "data-countdown=" in page
    assert "1 / 2 high 2 · 2 overflowed" in text
    assert "overflowed" in text
    assert "ValueError in Spill" in text
    assert "1 by key : 1 running" in text
    assert "1 crash in ten minutes" in text
    assert 'class="w-level-2"' in page, "a tree, not a list"


def test_actor_tells_everything_about_itself():
    """Its facts, its messages by type, its crashes, its dead letters and its live stack."""

    async def main() -> tuple[str, str]:
        async with cafe() as there:
            await busy(there)
            return await there.words("/actors/cafe/bar/barista"), await there.words("/actors/cafe/bar/till")

    barista, till = run(main)
    assert "incarnation 1" in barista
    assert "restarts 1 of 4 in 400 s" in barista
    assert "Crashes kept after the actor is gone" in barista
    assert "restarted after a backoff of" in barista
    assert "Spill crashed" in barista
    assert "mailbox 1 of 10" in barista
    assert "Live stack" in barista
    assert "what was spilt" not in barista + till, "the text of an exception is never kept"


def test_handling_now_and_stack_of_what_is_in_hand():
    """The message being handled, for how long, and where it is in the code."""

    async def main() -> str:
        async with cafe() as there:
            there.system.ref("/cafe/bar/barista").tell(Hold())
            await trio.testing.wait_all_tasks_blocked()
            await trio.sleep(7)
            return await there.words("/actors/cafe/bar/barista")

    text = run(main)
    assert "handling now Hold , for 7.0 s" in text
    assert "watch_kit.py" in text
    assert "on_receive" in text


def test_crash_is_kept_after_death():
    """A guest that was given up has left the tree; its page and its crash are still there, with traceback and decision."""

    async def main() -> tuple[int, str, str]:
        async with cafe() as there:
            ref = there.system.dynamic("/cafe/guests").ref("eve")
            ref.tell(Spill())
            await trio.testing.wait_all_tasks_blocked()
            await there.system.stop_actor("/cafe/guests/eve")
            status, page = await there.get("/actors/cafe/guests/eve")
            return status, plain_words(page), await there.words("/actors/-/crashes/1")

    status, ended, crash = run(main)
    assert (status, "gone" in ended, "ValueError" in ended) == (200, True, True)
    assert "which is gone" in crash
    assert "watch_kit.py" in crash
    assert "handling Spill" in crash


def test_escalation_is_told():
    """A supervisor that gave up because of a crash stands in its chain of escalations."""

    async def main() -> str:
        async with cafe() as there:
            for _ in range(5):
                there.system.ref("/cafe/bar/barista").tell(Spill())
                await trio.sleep(21)
            crashes = list(there.system.crashes)
            last = next(crash for crash in reversed(crashes) if crash.escalated_to)
            return await there.words(f"/actors/-/crashes/{last.id}")

    text = run(main)
    assert "the supervisor gave up and escalated" in text
    assert "/cafe/bar gave up" in text


def test_dead_letters_by_reason():
    """Dead letters are counted by reason, filtered by it, and the filter lives in the URL."""

    async def main() -> tuple[str, str, str]:
        async with cafe() as there:
            await busy(there)
            there.system.ref("/cafe/bar/till").tell(Brew())
            return (
                await there.words("/actors/-/letters"),
                await there.words("/actors/-/letters?reason=crashed"),
                (await there.get("/actors/-/letters"))[1],
            )

    everything, crashed, page = run(main)
    assert "crashed 1" in everything
    assert "dropped" in everything
    assert "1 to 1 of 1" in crashed
    assert 'href="/actors/-/letters?reason=crashed"' in page


@pytest.mark.parametrize("path", PATHS)
def test_pages_keep_the_policy(path):
    """Every page is balanced, without inline script or style, with one h1 at most, a skip link, and strict headers."""

    async def main() -> tuple[str, dict[str, str]]:
        async with cafe() as there:
            await busy(there)
            answer = await there.client.get(path, headers={"Host": "cafe.test"})
            return (await answer.get_data()).decode(), {name.lower(): value for name, value in answer.headers.items()}

    page, headers = run(main)
    checker = Checker()
    checker.feed(page)
    assert (checker.faults, checker.open) == ([], [])
    assert len(set(checker.ids)) == len(checker.ids)
    assert page.count("<h1") == 1
    assert '<a class="skip" href="#main">' in page
    assert "/theme.js" in page.split('<link rel="stylesheet"')[0], "the theme is set before the style comes"
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert headers["cache-control"] == "no-store"


BAD = "<script>alert(1)<\\script>\"'><img src=x onerror=alert(1)>\x1b[31m\nforged \u202egnp"


def test_hostile_names_are_text():
    """A key that came from outside is shown as text on every page, control characters as visible escapes."""

    async def main() -> list[str]:
        from urllib.parse import quote

        async with cafe() as there:
            there.system.dynamic("/cafe/guests").ref(BAD).tell(Spill())
            await trio.testing.wait_all_tasks_blocked()
            name = quote(BAD, safe="")
            paths = (
                "/actors",
                f"/actors?q={name}",
                "/actors/cafe/guests",
                f"/actors/cafe/guests/{name}",
                "/actors/-/crashes",
            )
            paths += (
                "/actors/-/letters",
                "/actors/-/crashes/1",
                f"/actors/cafe/{name}",
                f"/actors/-/crashes?path={name}",
            )
            paths += (f"/actors/-/confirm?action=kill&path=/cafe/guests/{name}&incarnation=1", f"/actors?{name}=1")
            return [(await there.get(path))[1] for path in paths]

    for page in run(main):
        checker = Checker()
        checker.feed(page)
        assert checker.faults == []
        assert "<script>alert" not in page
        assert "<img" not in page
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e]", page)
        assert "\nforged" not in page


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        # what is not there
        ("/actors/cafe/nobody", 404),
        ("/actors/-/crashes/7", 404),
        ("/actors/-/crashes/x", 404),
        ("/actors/-/static/no.js", 404),
        # what is not understood
        ("/actors?page=0", 400),
        ("/actors?page=%C2%B2", 400),
        ("/actors?show=everything", 400),
        ("/actors?sort=colour", 400),
        ("/actors?q=a&q=b", 400),
        ("/actors?x=1", 400),
        ("/actors?" + "&".join(f"x{n}=1" for n in range(40)), 400),
        ("/actors/-/crashes?page=-1", 400),
        ("/actors/-/letters?reason=x", 200),
        ("/actors/-/confirm", 400),
        ("/actors/-/confirm?action=explode", 400),
        ("/actors/-/confirm?action=drop&letter=x", 400),
        ("/actors/-/confirm?action=drop&letter=9", 404),
        ("/actors/-/confirm?action=stop&path=/cafe/nobody&incarnation=1", 404),
        ("/actors?page=999", 200),
    ],
)
def test_what_is_wrong_is_told(path, expected):
    """What is missing or malformed is a page with the right status and words, never a failure of ours."""

    async def main() -> tuple[int, str]:
        async with cafe() as there:
            return await there.get(path)

    assert run(main)[0] == expected


def test_empty_panels_say_why():
    """A system in which nothing happened yet says so, panel by panel."""

    async def main() -> tuple[str, str, str, str]:
        async with cafe(specs=()) as there:
            return (
                await there.words("/actors"),
                await there.words("/actors?q=zebra"),
                await there.words("/actors/-/crashes"),
                await there.words("/actors/-/letters"),
            )

    tree, search, crashes, letters = run(main)
    assert "everything sent was handled" in tree
    assert "No actor matches." in search
    assert "No actor has crashed since the system was opened." in crashes
    assert "Every message so far was handled to its end." in letters


def test_recorded_tree_is_shown_without_what_it_does_not_tell():
    """Anything with `snapshot()` can be watched; what it does not tell is said, not made up."""

    async def main() -> tuple[str, str, int]:
        class Recorded:
            def __init__(self, root):
                self.root = root

            def snapshot(self):
                return self.root

        async with cafe() as there:
            await busy(there)
            recorded = Recorded(there.system.snapshot())
        app = QuartTrio("recorded")
        watch_system(app, recorded, pages_at="/old", api_at="/api/old")
        there.client = app.test_client()
        return await there.words("/old"), await there.words("/old/cafe/bar/barista"), (await there.get("/api/old"))[0]

    tree, actor, status = run(main)
    assert "1 of 4 in 400 s" in tree
    assert "not told by this system" in tree
    assert "Not told by this system." in actor
    assert status == 200


def test_layout_hook_frames_every_page():
    """An application's own frame gets title, content and what it is; the package's files are then not served."""

    async def main() -> tuple[str, int]:
        seen = []

        async def layout(page):
            seen.append((page.here, page.live))
            return f"<main>{page.content}</main>"

        app = QuartTrio("framed")
        async with open_system("cafe", clock=VirtualClock()) as system:
            watch_system(app, system, layout=layout)
            client = app.test_client()
            answer = await client.get("/actors")
            missing = await client.get("/actors/-/static/watch.css")
            assert seen[0] == ("tree", True)
            return (await answer.get_data()).decode()[:6], missing.status_code

    assert run(main) == ("<main>", 404)


def test_mount_points_are_checked():
    """A mount point that is no absolute path, or a system that is called as our own step, is refused."""
    for at in ("actors", "/actors/"):
        with pytest.raises(ValueError, match="absolute path"):
            watch_system(QuartTrio("x"), object(), pages_at=at)  # type: ignore[arg-type]  # it fails before it looks
    with pytest.raises(ValueError, match="would hide"):
        watch_system(QuartTrio("x"), open_system("-"))


def test_api_is_the_tree_of_the_snapshot():
    """The tree as JSON is what `snapshot()` gives, with failures' times as RFC 3339; one place and its like are there too."""

    async def main() -> tuple[object, object, dict, dict, dict]:
        async with cafe(specs=(*_specs(), DynamicSpec("many", lambda key: Child(key, _plain())))) as there:
            await busy(there)
            for n in range(120):
                there.system.dynamic("/cafe/many").ref(f"k{n}")
            await trio.testing.wait_all_tasks_blocked()
            got = [json.loads((await there.get(path))[1]) for path in ("/api/actors", "/api/actors/cafe/bar")]
            expected = there.system.snapshot().to_builtins()
            more = [
                json.loads((await there.get(path))[1])
                for path in ("/api/actors/-/crashes", "/api/actors/-/letters", "/api/actors/-/stack/cafe/bar/till")
            ]
            assert got[0]["actors"][0]["children"][0] == got[1]["actor"]
            return got[0], {"actors": [expected]}, *more

    got, expected, crashes, letters, stack = run(main)
    assert json.loads(json.dumps(got)) == json.loads(json.dumps(expected))
    assert crashes["crashes"][0]["failure"]["at"].endswith("Z")
    assert letters["counts"]["by_reason"]["crashed"] == 1
    assert "watch_kit.py" in stack["stack"]


def _specs():
    from watch_kit import SPECS

    return SPECS


def _plain():
    from watch_kit import Barista

    return Barista


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/api/actors?x=1", 400), ("/api/actors/cafe/nobody", 404), ("/api/actors/-/stack/cafe/nobody", 404)],
)
def test_api_says_what_is_wrong(path, expected):
    """Errors of the API are JSON that names what is wrong."""

    async def main() -> tuple[int, str]:
        async with cafe() as there:
            return await there.get(path)

    status, body = run(main)
    assert (status, list(json.loads(body))) == (expected, ["error"])
