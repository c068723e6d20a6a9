"""Children by key: started at their first use, gone when they have nothing to do."""

from __future__ import annotations

from typing import Any

import trio

from actors.runtime import Actor, Child, DynamicSpec, open_system


class Basket(Actor):
    def __init__(self, customer: str) -> None:
        self.customer = customer
        self.items: list[str] = []

    async def on_start(self) -> None:
        self.context.after(60.0, "look whether it is idle")

    async def on_receive(self, message: Any) -> Any:
        if message == "look whether it is idle":
            if not self.context.retire():  # False while messages wait
                self.context.after(60.0, message)
            return None
        self.items.append(message)
        return self.customer, self.items


async def main() -> None:
    async with open_system("shop") as system:
        await system.start(DynamicSpec("baskets", lambda key: Child(key, Basket, (key,)), max_children=10_000))
        baskets = system.dynamic("/shop/baskets")
        baskets.ref("ada").tell("apples")  # ask for the ref each time: a child that has retired is started anew by that
        print(await baskets.ref("ada").ask("bread"))
        print(await baskets.ref("bob").ask("milk"))
        print(baskets.keys())
        await trio.sleep(61)
        print(baskets.keys())


if __name__ == "__main__":
    trio.run(main)
