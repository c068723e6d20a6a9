"""An operator's form: read within bounds, checked, done, and told to the log whatever came of it.

Counterparts: actions.py says what can be done and does it; mount.py routes the form here.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

import trio
from quart import request

from actors.runtime.watch.actions import (
    ActionRefused,
    Actions,
    ActionTaken,
    Presented,
    TooManyTries,
    is_own_origin,
    perform,
)
from actors.runtime.watch.frame import Page
from actors.runtime.watch.pages import Asked, Pages
from actors.runtime.watch.rows import BadQuery
from actors.runtime.watch.told import Told

__all__ = ["act_on", "read_form"]

FORM_MAX_BYTES: Final = 8192
"""Largest form. Overflow: 413."""
FORM_TIMEOUT_S: Final = 10.0
"""How long a form may take to arrive. Overflow: 408."""
FIELDS_MAX: Final = 16
"""Fields of a form. Overflow: 400."""


async def read_form() -> dict[str, str]:
    """The form, of a bounded size and within a bounded time. ActionRefused."""
    if request.mimetype != "application/x-www-form-urlencoded":
        raise ActionRefused(415, "A form of our own pages is needed.")
    body = bytearray()
    with trio.move_on_after(FORM_TIMEOUT_S) as deadline:
        async for chunk in request.body:
            body += chunk
            if len(body) > FORM_MAX_BYTES:
                raise ActionRefused(413, "The form is too large.")
    if deadline.cancelled_caught:
        raise ActionRefused(408, "Too slow.")
    try:
        pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise BadQuery(f"more than {FIELDS_MAX} fields") from None
    if len(dict(pairs)) != len(pairs):
        raise BadQuery("a field is given twice")
    return dict(pairs)


async def act_on(told: Told, pages: Pages, actions: Actions | None, asked: Asked, token: str) -> Page | None:
    """Check and do one action; None: it is done. Every attempt gets to the log. Raises ActionRefused."""
    if actions is None or not actions.allowed:
        raise ActionRefused(403, "Actions are off.")
    peer = request.remote_addr or ""
    operator: str | None = None
    outcome = "unknown: the request ended before the action did"
    try:
        if not is_own_origin(
            request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site"), request.headers.get("Host", "")
        ):
            raise ActionRefused(403, "Only from this server's own pages.")
        operator = actions.check_operator(Presented(token.encode("utf-8", "surrogatepass"), peer))
        if operator is None:
            outcome = "refused: that is no operator token"
            return pages.confirm(asked, "That is no operator token.", 401)
        await perform(told.system, told.reader(), asked.action, asked.path, asked.incarnation, asked.letter)
        outcome = "done"
    except TooManyTries as error:
        outcome = f"refused: {error}"
        return pages.confirm(asked, f"{str(error)[0].upper()}{str(error)[1:]}.", 429)
    except ActionRefused as error:
        outcome = f"refused: {error}"
        raise
    finally:
        taken = ActionTaken(told.now(), asked.action.name, asked.path, asked.letter, operator, peer, outcome)
        actions.log(taken)
        if operator is not None:
            told.taken.add(taken)
    return None
