"""A program that ends in good order on SIGINT and SIGTERM, and prints its stacks on SIGUSR1."""

from __future__ import annotations

import trio

from actors.runtime import Actor, Child, open_system, run_until_signal


class Shop(Actor):
    async def on_start(self) -> None:
        print("open", flush=True)

    async def on_stop(self) -> None:
        print("closed", flush=True)


async def main() -> None:
    async with open_system("town", stop_timeout_s=10.0) as system:
        await system.start(Child("shop", Shop))
        print("told to stop by", await run_until_signal(system), flush=True)


if __name__ == "__main__":
    trio.run(main)
