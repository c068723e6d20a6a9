"""Every mailbox is bounded; what happens at the bound is said on the class."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, ClassVar

import trio

from actors.runtime import Actor, Child, MailboxFull, MailboxPolicy, Overflow, open_system


class Orders(Actor):
    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(capacity=2)  # Overflow.REJECT: one too many raises


class Temperature(Actor):
    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(capacity=2, overflow=Overflow.DROP_OLDEST)

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def on_receive(self, message: Any) -> list[Any]:
        self.seen.append(message)
        return self.seen


class Prices(Temperature):
    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(capacity=3, overflow=Overflow.CONFLATE)

    @classmethod
    def conflate_key(cls, message: Any) -> Hashable | None:
        return message[0] if message else None  # a newer price of the same thing takes the place of the one that waits


async def main() -> None:
    async with open_system("shop") as system:
        await system.start(Child("orders", Orders), Child("temperature", Temperature), Child("prices", Prices))
        orders, temperature, prices = (system.ref(f"/shop/{name}") for name in ("orders", "temperature", "prices"))

        orders.tell("one")
        orders.tell("two")
        try:
            orders.tell("three")
        except MailboxFull as error:
            print(error)
        await orders.send("three")  # waits until there is room

        for degrees in (20, 21, 22):
            temperature.tell(degrees)
        print(await temperature.ask(23))

        for price in (("tea", 3), ("jam", 4), ("tea", 5), ("tea", 6)):
            prices.tell(price)
        print(await prices.ask(()))


if __name__ == "__main__":
    trio.run(main)
