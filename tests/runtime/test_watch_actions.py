"""Actions from a page: off by default, one question, the operator's token, this server's own origin, a last look, the log."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from quart_trio import QuartTrio
from trio_run import run
from watch_kit import Brew, Cafe, Hold, cafe, plain_words

from actors.runtime import EventKind, VirtualClock, open_system
from actors.runtime.watch import Actions, Presented, TooManyTries, watch_system
from actors.runtime.watch.actions import is_own_origin

BARISTA = {"path": "/cafe/bar/barista", "incarnation": 1}


def incarnation(there: Cafe) -> int:
    return there.system.snapshot().children[0].children[0].incarnation


def test_off_by_default():
    """Without Actions there is no button, no page that asks, and the POST is refused; nothing happens."""

    async def main() -> tuple[str, int, int, int]:
        app = QuartTrio("plain")
        async with cafe(acting=False) as there, open_system("other", clock=VirtualClock()) as other:
            watch_system(app, other)
            client = app.test_client()
            page = (await there.get("/actors/cafe/bar/barista"))[1]
            asks = (await there.get("/actors/-/confirm?action=kill&path=/cafe/bar/barista&incarnation=1"))[0]
            refused = (await there.act(action="kill", **BARISTA))[0]
            form = {"action": "kill", "path": "/other", "incarnation": "1", "operator_token": "x"}
            plain = await client.post("/actors/-/act", headers={"Origin": "http://localhost"}, form=form)
            assert there.system.statistics().events["failed"] == 0
            return page, asks, refused, plain.status_code

    page, *statuses = run(main)
    assert "confirm" not in page
    assert statuses == [403, 403, 403]


def test_a_get_never_acts():
    """The address that acts takes POST only."""

    async def main() -> tuple[int, int]:
        async with cafe() as there:
            return (await there.get("/actors/-/act"))[0], incarnation(there)

    assert run(main) == (404, 1)


def test_asks_once_and_restarts():
    """The button leads to a page with the question and the token's field; its form restarts the actor, and is in the log."""

    async def main() -> tuple[str, str, tuple[int, str, str], int, Cafe, str]:
        async with cafe() as there:
            page = (await there.get("/actors/cafe/bar/barista"))[1]
            asks = (await there.get("/actors/-/confirm?action=restart&path=/cafe/bar/barista&incarnation=1"))[1]
            done = await there.act(action="restart", **BARISTA)
            return page, asks, done, incarnation(there), there, await there.words("/actors/cafe/bar/barista")

    page, asks, done, now, there, after = run(main)
    assert "/actors/-/confirm?action=restart&amp;path=%2Fcafe%2Fbar%2Fbarista&amp;incarnation=1" in page
    assert "Restart this actor?" in asks
    assert 'type="password"' in asks
    assert (done[0], done[2], now) == (303, "/actors/cafe/bar/barista", 2)
    [taken] = there.log
    assert (taken.action, taken.path, taken.operator, taken.outcome) == (
        "restart",
        "/cafe/bar/barista",
        "token-1",
        "done",
    )
    assert "restart by token-1" in after


def test_stop_and_kill():
    """A stopped actor stays down until it is restarted from here; a killed one counts as a failure and comes back."""

    async def main() -> list[str]:
        async with cafe() as there:
            states = []

            def state() -> str:
                return there.system.snapshot().children[0].children[0].state

            await there.act(action="stop", **BARISTA)
            states.append(state())
            await there.act(action="restart", **BARISTA)
            states.append(state())
            await there.act(action="kill", path="/cafe/bar/barista", incarnation=incarnation(there))
            await trio.testing.wait_all_tasks_blocked()
            states.append(state())
            assert there.system.events.counts[EventKind.FAILED] == 1
            return states

    assert run(main) == ["stopped", "running", "backoff"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        # a browser on our own page
        ({"Origin": "http://cafe.test"}, 303),
        ({"Origin": "https://cafe.test"}, 303),  # TLS ended before us
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 303),  # under referrer-policy no-referrer
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        # anything else
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "http://cafe.test.evil.test"}, 403),
        ({"Origin": "http://cafe.test:8080"}, 403),
        ({"Origin": "http://evil.test", "Sec-Fetch-Site": "same-origin"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({}, 403),
    ],
)
def test_origin(headers, expected):
    """Only a form of this very server's own page acts, whatever token is right."""

    async def main() -> tuple[int, int]:
        async with cafe() as there:
            status = (await there.act(headers=headers, action="restart", **BARISTA))[0]
            assert [taken.outcome == "done" for taken in there.log] == [expected == 303]
            return status, incarnation(there)

    assert run(main) == (expected, 2 if expected == 303 else 1)


@given(origin=st.text(max_size=30), host=st.text(min_size=1, max_size=12))
@settings(derandomize=True, deadline=None)
def test_no_origin_but_the_own(origin, host):
    """No text is taken for the own origin but scheme and host themselves."""
    own = origin.lower() in (f"http://{host}".lower(), f"https://{host}".lower())
    assert is_own_origin(origin, None, host) <= own


def test_wrong_token():
    """A wrong or empty token asks again with 401, does nothing, is in the log, and is in no page or log itself."""

    async def main() -> tuple[list[int], int, Cafe, str]:
        async with cafe() as there:
            answers = [
                await there.act(token, action="kill", **BARISTA) for token in ("wrong-sesame", "", "open-sesamé")
            ]
            return [answer[0] for answer in answers], incarnation(there), there, answers[0][1]

    statuses, now, there, page = run(main)
    assert (statuses, now) == ([401, 401, 401], 1)
    assert "That is no operator token." in page
    assert "wrong-sesame" not in page + repr(there.log)
    assert [(taken.operator, taken.outcome) for taken in there.log] == [
        (None, "refused: that is no operator token")
    ] * 3


def test_too_many_wrong_tokens():
    """The check may say that this peer has to wait: 429."""

    def check(_: Presented) -> str | None:
        raise TooManyTries(5.2)

    async def main() -> tuple[int, str]:
        app = QuartTrio("cafe")
        log: list[Any] = []
        async with open_system("cafe", clock=VirtualClock()) as system:
            from watch_kit import SPECS

            await system.start(*SPECS)
            watch = watch_system(app, system, actions=Actions(True, check, log.append))
            there = Cafe(system, watch, app.test_client(), log)
            status, page, _ = await there.act(action="stop", **BARISTA)
            return status, page

    status, page = run(main)
    assert (status, "Too many wrong tokens; try again in 6 s." in page) == (429, True)


@pytest.mark.parametrize(
    ("fields", "expected", "says"),
    [
        ({"action": "kill", "path": "/cafe/bar/barista", "incarnation": 7}, 409, "started anew"),
        ({"action": "kill", "path": "/cafe/nobody", "incarnation": 1}, 404, "no such actor"),
        ({"action": "stop", "path": "/cafe", "incarnation": 1}, 409, "the root is the system itself"),
        ({"action": "burn", "path": "/cafe", "incarnation": 1}, 400, "action: one of"),
        ({"action": "drop", "letter": 99}, 404, "not kept any more"),
        ({"action": "kill", "path": "/cafe/bar/barista"}, 400, "incarnation"),
        ({"action": "kill", **BARISTA, "more": 1}, 400, "no such parameter"),
    ],
)
def test_checked_again_on_the_server(fields, expected, says):
    """What was shown is not what is: the server looks again, says why it did not do it, and did not."""

    async def main() -> tuple[int, str, int]:
        async with cafe() as there:
            status, page, _ = await there.act(**fields)
            return status, plain_words(page), incarnation(there)

    status, text, now = run(main)
    assert (status, now) == (expected, 1)
    assert says in text


def test_replay_and_drop_of_a_dead_letter():
    """A letter whose message was kept is told again; dropped, it is gone; a second try finds it gone."""

    async def main() -> tuple[str, list[int], int, int]:
        async with cafe() as there:
            there.system.ref("/cafe/bar/barista").tell(Hold())
            for _ in range(3):
                there.system.ref("/cafe/bar/barista").tell(Brew())
            await trio.testing.wait_all_tasks_blocked()
            await there.system.stop_actor("/cafe/bar/barista")  # what waits becomes dead letters
            await there.system.restart("/cafe/bar/barista")
            page = (await there.get("/actors/-/letters"))[1]
            brews = [letter.id for letter in there.system.dead_letters if letter.message_type == "Brew"]
            before = there.system.snapshot().children[0].children[0].handled
            statuses = [(await there.act(action="replay", letter=brews[0]))[0]]
            await trio.testing.wait_all_tasks_blocked()
            handled = there.system.snapshot().children[0].children[0].handled - before
            statuses.append((await there.act(action="drop", letter=brews[1]))[0])
            statuses.append((await there.act(action="drop", letter=brews[1]))[0])
            return page, statuses, handled, len(brews)

    page, statuses, handled, brews = run(main)
    assert "action=replay&amp;letter=" in page
    assert (statuses, handled, brews) == ([303, 303, 404], 1, 3)


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"x=" + b"1" * 9000, 413),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"action=kill&action=stop", 400),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"&".join(b"a%d=1" % n for n in range(99)), 400),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"\xff\x00=%ff", 400),
    ],
)
def test_forms_that_are_none(headers, body, expected):
    """What is no form of our pages is refused by size and kind."""

    async def main() -> int:
        async with cafe() as there:
            sent = {"Host": "cafe.test", "Origin": "http://cafe.test", **headers}
            answer = await there.client.post("/actors/-/act", headers=sent, data=body)
            assert there.log == []
            return answer.status_code

    assert run(main) == expected
