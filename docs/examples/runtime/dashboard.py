"""The dashboard of a system, in a Quart-Trio application that is not ours."""

from __future__ import annotations

from typing import Any

import hypercorn.trio
import trio
from hypercorn.config import Config
from quart_trio import QuartTrio

from actors.runtime import Actor, Child, System, open_system
from actors.runtime.watch import watch_system


class Greeter(Actor):
    async def on_receive(self, message: Any) -> str:
        return f"Hello, {message}."


def make_app(system: System) -> QuartTrio:
    app = QuartTrio(__name__)

    @app.get("/hello/<name>")
    async def hello(name: str) -> str:
        greeting: str = await system.ref("/shop/greeter").ask(name, timeout_s=5)
        return greeting

    watch_system(app, system, pages_at="/actors", api_at="/api/actors")
    return app


async def main() -> None:
    async with open_system("shop") as system:
        await system.start(Child("greeter", Greeter))
        config = Config()
        config.bind = ["127.0.0.1:8000"]
        await hypercorn.trio.serve(make_app(system), config)  # then open http://127.0.0.1:8000/actors


if __name__ == "__main__":
    trio.run(main)
