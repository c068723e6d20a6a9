"""The process that plays a story: a simulated API server that reports a story's requests to a running protector.

`python -m actors.testing.play --cluster FILE --story FILE --url URL --ca FILE --token-file FILE`. What it does is told on
stdout, one JSON line each: `scene`, `attempt` (with the receiver's answer) and, last, `end` with the sender's statistics.
Exit 0 when every batch was accepted, 1 when one was lost, 2 when it cannot begin.
Counterparts: apiserver.py, which sends, and `web.demo`, which starts this and reads its lines.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
import msgspec
import trio

from actors.testing.apiserver import Attempt, SenderOptions, SimulatedApiServer, webhook_transport
from actors.testing.cast import Cast, CastError, load_cast
from actors.testing.events import AuditEvent
from actors.testing.network import Fault, LossyTransport
from actors.testing.story import Scene, Story, StoryError, load_story, scene_events

__all__ = ["main", "play_story"]

Say = Callable[[dict[str, Any]], None]
ANSWER_CHARS_MAX: Final = 500
"""How much of an answer that is no JSON object is told."""


def _answer(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body[:ANSWER_CHARS_MAX].decode("utf-8", "replace")


def attempt_line(attempt: Attempt) -> dict[str, Any]:
    """The line that tells one attempt."""
    line: dict[str, Any] = msgspec.to_builtins(attempt)
    return {"event": "attempt", **line, "answer": _answer(attempt.answer)}


async def _submit_later(server: SimulatedApiServer, delay_s: float, event: AuditEvent) -> None:
    await trio.sleep(delay_s)
    server.submit([event])


class _Player:
    """Plays scenes of one story through one sender."""

    def __init__(self, story: Story, cast: Cast, server: SimulatedApiServer, lossy: LossyTransport, say: Say) -> None:
        self.story, self.cast, self.server, self.lossy, self.say = story, cast, server, lossy, say

    async def once(self, now: Callable[[], float], chance: random.Random) -> None:
        """The whole story, and every stage that it promised for later."""
        began = trio.current_time()
        async with trio.open_nursery() as later:
            for number, scene in enumerate(self.story.scenes, 1):
                await trio.sleep_until(began + scene.at_s)
                self._scene(number, scene, now(), chance, later)

    def _scene(self, number: int, scene: Scene, now: float, chance: random.Random, later: trio.Nursery) -> None:
        events = scene_events(self.story, self.cast, scene, now, chance)
        self.say({"event": "scene", "number": number, "tell": scene.tell, "events": len(events)})
        if scene.fault is not None and events:
            self.lossy.lose(Fault(scene.fault), events[0][1].audit_id.encode())
        self.server.submit(event for delay_s, event in events if delay_s == 0)
        for delay_s, event in events:
            if delay_s > 0:
                later.start_soon(_submit_later, self.server, delay_s, event)


async def play_story(
    story: Story,
    cast: Cast,
    server: SimulatedApiServer,
    lossy: LossyTransport,
    say: Say,
    *,
    now: Callable[[], float] = time.time,
    chance: random.Random | None = None,
    again_after_s: float | None = None,
) -> None:
    """Plays the story through the server, once, or for ever with `again_after_s` seconds between two runs.

    `server` is run here and has to post through `lossy`. Ends when every batch was accepted or lost.
    """
    player = _Player(story, cast, server, lossy, say)
    chance = chance or random.Random()  # noqa: S311 - ids of an example
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        await player.once(now, chance)
        while again_after_s is not None:
            say({"event": "again", "in_s": again_after_s})
            await trio.sleep(again_after_s)
            await player.once(now, chance)
        server.close()
    say({"event": "end", "statistics": msgspec.to_builtins(server.statistics())})


def _say(line: dict[str, Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(help=__doc__)
@click.option("--cluster", required=True, type=FILE)
@click.option("--story", "story_file", required=True, type=FILE)
@click.option("--url", required=True)
@click.option("--ca", required=True, type=FILE)
@click.option("--token-file", required=True, type=FILE)
@click.option("--seed", type=int, default=None)
@click.option("--again-after-s", type=float, default=None)
def main(
    cluster: Path, story_file: Path, url: str, ca: Path, token_file: Path, seed: int | None, again_after_s: float | None
) -> None:
    """Plays a story file against a running server."""
    try:
        cast = load_cast(cluster)
        story = load_story(story_file, cast)
        lossy = LossyTransport(webhook_transport(ca.read_text()))
    except (CastError, StoryError, OSError) as error:
        click.echo(f"simulated API server: {error}", err=True)
        sys.exit(2)
    chance = random.Random(seed)  # noqa: S311 - ids and jitter of an example
    server = SimulatedApiServer(
        url,
        token_file.read_text().strip(),
        lossy,
        options=SenderOptions(
            batch_wait_s=story.apiserver.batch_max_wait_s, initial_backoff_s=story.apiserver.initial_backoff_s
        ),
        chance=chance,
        observe=lambda attempt: _say(attempt_line(attempt)),
    )

    async def run() -> None:
        await play_story(story, cast, server, lossy, _say, chance=chance, again_after_s=again_after_s)

    trio.run(run)
    sys.exit(1 if server.statistics().lost else 0)


if __name__ == "__main__":
    main()
