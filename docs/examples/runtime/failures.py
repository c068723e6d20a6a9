"""The one rule of failures, and what is kept of them: dead letters and the history of crashes."""

from __future__ import annotations

from typing import Any, ClassVar

import trio
from msgspec import Struct

from actors.runtime import Actor, ActorCrashed, Child, open_system


class Withdraw(Struct, frozen=True):
    amount: int


class NotEnough(Exception):  # noqa: N818 - it says what is the matter
    """An answer, not a failure."""


class Account(Actor):
    answers: ClassVar[tuple[type[Exception], ...]] = (NotEnough,)
    replayable: ClassVar[tuple[type, ...]] = (Withdraw,)  # its dead letters keep the message; others keep only its type

    def __init__(self, balance: int) -> None:
        self.balance = balance

    async def on_receive(self, message: Any) -> int:
        if message.amount > self.balance:
            raise NotEnough
        if message.amount < 0:
            raise ValueError("a bug: nobody should ask for that")
        self.balance -= message.amount
        return self.balance


async def main() -> None:
    async with open_system("bank") as system:
        await system.start(Child("account", Account, (100,)))
        account = system.ref("/bank/account")
        print(await account.ask(Withdraw(30)))
        try:
            await account.ask(Withdraw(1000))
        except NotEnough:
            print("not enough: an answer, the actor lives on")
        try:
            await account.ask(Withdraw(-1))
        except ActorCrashed as error:
            print(f"crashed: also a ValueError? {isinstance(error, ValueError)}")
        print(await account.ask(Withdraw(0)), "is what a new incarnation starts from")

        for letter in system.dead_letters:
            print("dead letter:", letter.path, letter.message_type, letter.reason.value, letter.replayable)
        for crash in system.crashes:
            print("crash:", crash.path, crash.failure.type, crash.failure.message_type, crash.decision)


if __name__ == "__main__":
    trio.run(main)
