"""Listeners: sockets, TLS, one isolated task per connection, limits, draining; under supervision as ListenerActor.

Built from Hypercorn's protocol classes, never from `hypercorn.serve`: there one connection's exception ends the whole server.
Layers, each importing only those before it: limits, setup, transport, request, http1 and http2, connection, server, actor.
"""

from web.listener.limits import ClientGone, Limits, ListenerStatistics
from web.listener.server import BoundSocket, Listener, bind

__all__ = ["BoundSocket", "ClientGone", "Limits", "Listener", "ListenerStatistics", "bind"]
