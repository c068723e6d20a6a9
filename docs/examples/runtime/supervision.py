"""A supervision tree: who is restarted with whom, how often, and what survives."""

from __future__ import annotations

from typing import Any

import trio

from actors.runtime import Actor, Backoff, Child, Intensity, Restart, Strategy, SupervisorSpec, open_system


class Connection(Actor):
    async def on_start(self) -> None:
        print(f"{self.context.path} starts, incarnation {self.context.incarnation}")

    async def on_receive(self, message: Any) -> str:
        if message == "poison":
            raise ValueError("that did not go well")
        return f"{message} by incarnation {self.context.incarnation}"


TREE = SupervisorSpec(
    "database",
    (
        Child("connection", Connection),
        Child("cache", Connection),  # is built on the connection, so it is restarted with it
        Child("migration", Connection, restart=Restart.TEMPORARY),  # once; a failure does not bring it back
    ),
    strategy=Strategy.REST_FOR_ONE,
    intensity=Intensity(max=3, within_s=30.0),  # the fourth restart within 30 s: give up, the supervisor above decides
    backoff=Backoff(base_s=0.1, cap_s=5.0),  # up to 0.1 s, 0.2 s, 0.4 s, …, each a random part of that
)


async def main() -> None:
    async with open_system("shop", seed=1) as system:
        await system.start(TREE)  # each child after the one before has returned from its on_start
        connection = system.ref("/shop/database/connection")
        connection.tell("poison")
        connection.tell("queued behind it")
        await trio.sleep(1)
        print(await connection.ask("handled"))  # the ref names the place: it does not mind the restart
        for child in system.snapshot().children[0].children:
            print(child.path, child.state, child.incarnation)


if __name__ == "__main__":
    trio.run(main)
