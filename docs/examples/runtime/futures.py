"""Futures that Trio awaits, and proxies that call methods."""

from __future__ import annotations

import trio

from actors.runtime import Actor, open_system


class Adder(Actor):
    def __init__(self) -> None:
        self.sums = 0

    async def add(self, one: int, other: int) -> int:
        self.sums += 1
        return one + other

    def names(self) -> list[str]:
        return ["one", "two", "three"]


async def main() -> None:
    async with open_system("office"):
        adder = Adder.start().proxy()  # as in Pykka: started at once, without restarts
        first, second = adder.add(1, 2), adder.add(3, 4)  # two futures; nobody waits yet
        print(await first, await second)
        print(await adder.add(1, 1).map(lambda value: value * 10))
        print(await first.join(second))
        print(await adder.names().filter(lambda name: "o" in name))
        print(await adder.sums)  # an attribute is a future, too


if __name__ == "__main__":
    trio.run(main)
