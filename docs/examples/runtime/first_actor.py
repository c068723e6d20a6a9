"""An actor, and the three ways to give it a message."""

from __future__ import annotations

from typing import Any

import trio

from actors.runtime import Actor, Child, open_system


class Counter(Actor):
    def __init__(self, start_at: int = 0) -> None:
        self.count = start_at

    async def on_receive(self, message: Any) -> int:
        self.count += message
        return self.count


async def main() -> None:
    async with open_system("shop") as system:
        await system.start(Child("counter", Counter, (10,)))
        counter = system.ref("/shop/counter")

        counter.tell(1)  # queue it, and go on; raises MailboxFull when there is no room
        await counter.send(1)  # queue it, waiting for room
        print(await counter.ask(1, timeout_s=5))  # queue it, and wait for the reply


if __name__ == "__main__":
    trio.run(main)
