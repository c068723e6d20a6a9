"""Messages to oneself, later or again and again; and work beside the mailbox."""

from __future__ import annotations

from typing import Any

import trio

from actors.runtime import Actor, Child, open_system


class Heart(Actor):
    async def on_start(self) -> None:
        self.beat = self.context.every(1.0, "beat")
        self.context.after(3.5, "rest")
        self.context.start_soon(self.breathe)  # a task of this incarnation; its exception is a failure of the actor

    async def on_receive(self, message: Any) -> None:
        print(f"{trio.current_time():.1f} {message}")
        if message == "rest":
            self.beat.cancel()  # a tick that waits in the mailbox is taken back as well

    async def breathe(self) -> None:
        await trio.sleep(2.5)
        print(f"{trio.current_time():.1f} breath")


class Surgeon(Actor):
    async def on_receive(self, message: Any) -> None:
        reply = self.context.reply_later()  # the handler returns, the asker goes on waiting

        async def operate() -> None:
            await trio.sleep(5.0)
            reply.set(f"{message} done")

        self.context.start_soon(operate)


async def main() -> None:
    async with open_system("clinic") as system:
        await system.start(Child("heart", Heart), Child("surgeon", Surgeon))
        print(await system.ref("/clinic/surgeon").ask("appendix", timeout_s=10))


if __name__ == "__main__":
    trio.run(main)
