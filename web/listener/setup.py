"""Hypercorn's configuration for our listeners: what its protocol classes ask of it, plus our bounds and counters.

Counterparts: web/listener/http1.py, http2.py and request.py, which reach all of it as `self.config`.
"""

from __future__ import annotations

from typing import Final

from hypercorn.config import Config

from web.listener.limits import Counters, Limits

__all__ = ["Setup"]

REQUESTS_MAX: Final = 2**30
"""Requests on one connection: as many as HTTP/2 has stream ids. Hypercorn's own bound of 1,000 makes its H2Protocol close the
connection under the very request that reached it (ours does not count), and would end an HTTP/1.1 connection for no reason."""


class Setup(Config):
    """Made once for each run of a listener. No log of Hypercorn's is used: its access log copies the environment."""

    accesslog = None
    errorlog = None
    include_server_header = False
    keep_alive_max_requests = REQUESTS_MAX
    startup_timeout = 30.0
    shutdown_timeout = 5.0

    def __init__(self, listener: str, limits: Limits, counters: Counters) -> None:
        self.listener = listener
        self.limits = limits
        self.counters = counters
        self.h11_max_incomplete_size = limits.head_bytes
        self.h2_max_concurrent_streams = limits.streams
        self.h2_max_header_list_size = limits.headers_bytes
