"""The other side of the ingest bench: a bare Quart-Trio handler on Hypercorn, as its documentation has it."""

from __future__ import annotations

import sys

import hypercorn.trio
import trio
from hypercorn.config import Config
from quart import request
from quart_trio import QuartTrio

from actors.parser.views import decode_body

app = QuartTrio("bare")
app.config["MAX_CONTENT_LENGTH"] = 48 << 20


@app.post("/audit")
async def audit() -> dict[str, int]:
    """Reads the whole body, decodes it, says how many items it holds."""
    body = await request.get_data(cache=False)
    decoded = decode_body(body)
    return {"events": len(decoded.items or ())}


@app.get("/")
async def ready() -> str:
    """For whoever waits until it runs."""
    return "ok"


if __name__ == "__main__":
    config = Config()
    config.bind = [f"127.0.0.1:{sys.argv[1]}"]
    config.keep_alive_timeout = 120
    config.keep_alive_max_requests = 1_000_000
    trio.run(hypercorn.trio.serve, app, config)
