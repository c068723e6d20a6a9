"""Pykka's own first example (docs/quickstart), with another base class and a system around it."""

from __future__ import annotations

from typing import Any

import trio

from actors.runtime import Actor, open_system


class Greeter(Actor):  # was: pykka.ThreadingActor
    def __init__(self, greeting: str = "Hi there!") -> None:
        super().__init__()
        self.greeting = greeting

    def on_receive(self, message: Any) -> Any:  # a plain function is as good as an async one
        print(self.greeting, message)


def blocking_part(system_token: trio.lowlevel.TrioToken) -> None:
    """Code that blocks goes on as it was, in a thread: there `ask`, `get` and `stop` block as in Pykka."""
    greeter = trio.from_thread.run_sync(Greeter.start, "Hi you!", trio_token=system_token)
    greeter.ask("Hi?")
    greeter.stop()


async def main() -> None:
    async with open_system("greetings"):  # its end stops what is left: no ActorRegistry.stop_all()
        greeter = Greeter.start(greeting="Hi you!")
        greeter.tell("Hi?")
        await greeter.ask("Hi?")  # was: greeter.ask("Hi?"), which would block the loop here, and raises
        await greeter.stop()
        await trio.to_thread.run_sync(blocking_part, trio.lowlevel.current_trio_token())


if __name__ == "__main__":
    trio.run(main)
