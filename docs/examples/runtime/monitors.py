"""Told when another actor has ended for good."""

from __future__ import annotations

from typing import Any

import trio

from actors.runtime import Actor, ActorRef, Child, Terminated, open_system


class Printer(Actor):
    async def on_receive(self, message: Any) -> None:
        print("prints", message)


class Clerk(Actor):
    def __init__(self, printer: ActorRef) -> None:
        self.printer = printer

    async def on_start(self) -> None:
        self.context.watch(self.printer)  # dies with this incarnation, so each one says it again

    async def on_receive(self, message: Any) -> None:
        if isinstance(message, Terminated):
            print(f"{message.path} is {message.state.value}: I work by hand now")


async def main() -> None:
    async with open_system("office") as system:
        printer = system.ref("/office/printer")
        await system.start(Child("printer", Printer), Child("clerk", Clerk, (printer,)))
        printer.tell("a page")
        await printer.stop()  # after what is queued, for good: its supervisor does not start it anew
        ended = await printer.wait_terminated()  # the same for code that is no actor
        await trio.sleep(0.1)
        print(ended.path, ended.state.value, ended.failure)


if __name__ == "__main__":
    trio.run(main)
