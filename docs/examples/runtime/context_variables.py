"""Context variables travel with the message: trace ids, structlog's bound values, OpenTelemetry's context."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import trio

from actors.runtime import Actor, ActorRef, Child, open_system

trace: ContextVar[str] = ContextVar("trace", default="none")


class Shipping(Actor):
    async def on_receive(self, message: Any) -> str:
        return f"{message} shipped under {trace.get()}"


class Orders(Actor):
    def __init__(self, shipping: ActorRef) -> None:
        self.shipping = shipping

    async def on_receive(self, message: Any) -> Any:
        return await self.shipping.ask(message, timeout_s=5)


async def main() -> None:
    async with open_system("shop", trace_context=True) as system:
        shipping = system.ref("/shop/shipping")
        await system.start(Child("shipping", Shipping), Child("orders", Orders, (shipping,)))
        trace.set("request-17")
        print(await system.ref("/shop/orders").ask("tea", timeout_s=5))


if __name__ == "__main__":
    trio.run(main)
