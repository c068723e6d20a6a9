"""A `pykka.ThreadingActor` as a supervised child, for work that must block; what it owns is fenced."""

from __future__ import annotations

import threading
from typing import Any

import pykka
import trio

from actors.runtime import ActorCrashed, Child, Fenced, SupervisorSpec, current_fence, open_system

LEDGER: list[str] = []  # stands for a database
woken, released = threading.Event(), threading.Event()


class Writer(pykka.ThreadingActor):
    def on_start(self) -> None:
        self.fence = current_fence()  # the right of this incarnation to the ledger

    def on_receive(self, message: Any) -> int:
        if message == "stuck":
            woken.wait()  # a call that hangs: nobody can kill a thread
        try:
            with self.fence.hold():  # no successor starts while this is held; Fenced once it may have
                LEDGER.append(message)
        except Fenced as error:
            print("the old thread:", error)
            released.set()
        return len(LEDGER)


async def main() -> None:
    woken.clear()
    released.clear()
    LEDGER.clear()
    async with open_system("shop") as system:
        await system.start(SupervisorSpec("ledger", (Child("writer", Writer, stop_timeout_s=0.2),)))
        writer = system.ref("/shop/ledger/writer")
        print(await writer.ask("first"))
        hanging = writer.ask("stuck")
        await trio.sleep(0.05)
        await system.restart("/shop/ledger/writer")  # waits stop_timeout_s, then goes on without the thread
        try:
            await hanging
        except ActorCrashed:
            print("the asker is told")
        print(await writer.ask("second"))
        print("left behind:", system.snapshot().children[0].children[0].abandoned_threads)
        woken.set()
        await trio.to_thread.run_sync(released.wait)
        print(LEDGER)


if __name__ == "__main__":
    trio.run(main)
