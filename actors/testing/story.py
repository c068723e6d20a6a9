"""A scripted story: scenes of requests at their times, what the terminal tells, and what must be lit by then.

A story names workloads, bindings and accounts of the cluster file beside it; every name is checked when it is read, and a
wrong one is one clear line. `scene_events` turns a scene into audit events. Counterparts: cast.py (who), play.py (when).
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import yaml
from msgspec import Meta, Struct

from actors.evidence import Account, Scope
from actors.testing.cast import Cast, CastError
from actors.testing.events import (
    ANSWER_S,
    AuditEvent,
    Caller,
    Request,
    account_user,
    events_of,
    legacy_caller,
    new_id,
    person_caller,
    unbound_caller,
)
from actors.testing.noise import noise_events

__all__ = [
    "Ask",
    "Expect",
    "ExpectedChain",
    "ExpectedRead",
    "Scene",
    "Story",
    "StoryError",
    "load_story",
    "scene_events",
]

SCENES_MAX: Final = 200
TIMES_MAX: Final = 10_000
"""How often one request of a story is made at most; also the bound of its noise."""
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Seconds = Annotated[float, Meta(ge=0, le=3600)]
Times = Annotated[int, Meta(ge=1, le=TIMES_MAX)]


class StoryError(ValueError):
    """A story that cannot be played. The text is one line: which scene, which request, what is wrong."""


class Flags(Struct, frozen=True, forbid_unknown_fields=True):
    """Flags of the simulated API server; see actors.testing.apiserver."""

    batch_max_wait_s: Seconds = 1.0
    initial_backoff_s: Seconds = 10.0
    every_stage: bool = False
    """Whether its policy writes RequestReceived too."""


class Person(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="person"):
    """A person or component with a client certificate."""

    user: str
    groups: tuple[str, ...] = ("system:authenticated",)
    ip: str = "127.0.0.1"
    user_agent: str = "kubectl/v1.35.4 (linux/amd64)"


class LegacyToken(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="legacy_token"):
    """Whoever holds the everlasting token in a Secret of this account."""

    account: str
    token_secret: str
    ip: str
    user_agent: str = "curl/8.5.0"


class UnboundToken(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="unbound_token"):
    """Whoever holds a token from `kubectl create token` for this account."""

    account: str
    ip: str
    user_agent: str = "curl/8.5.0"


class Ask(Struct, frozen=True, forbid_unknown_fields=True, rename={"as_account": "as"}):
    """One request for Secrets."""

    by: str
    """A workload ("Deployment/ns/name": its first pod, "Deployment/ns/name#1": its second), or a name among the outsiders."""
    verb: Literal["get", "list", "watch"]
    secret: str
    """One ("ns/name"), those of a namespace ("ns/*"), or all ("*")."""
    result: Literal["ok", "denied", "not_found", "unauthorized", "impersonation_denied"] = "ok"
    binding: str | None = None
    """What allowed it, or for a denial the binding whose role is missing."""
    reason: str | None = None
    """Instead of `binding`: the API server's reason word for word."""
    as_account: str | None = None
    """The account that the caller impersonates."""
    times: Times = 1
    ago_s: Seconds = 0.0
    """How long ago it was made: its batch comes late."""
    watch_s: Annotated[int, Meta(ge=1, le=3600)] | None = None
    """`timeoutSeconds` of a watch."""
    open_s: Seconds | None = None
    """After how long the watch ended; None while it is open."""


class ExpectedChain(Struct, frozen=True, forbid_unknown_fields=True):
    """A chain by what it leads from and to; without `binding`, any of that workload."""

    workload: str
    secret: str
    binding: str | None = None
    reach: Literal["rbac-granted", "mounted"] | None = None
    corroboration: Literal["proven", "possible"] | None = None


class ExpectedRead(Struct, frozen=True, forbid_unknown_fields=True):
    """Evidence of an account's reads of a Secret that no grant explains."""

    account: str
    secret: str


class Expect(Struct, frozen=True, forbid_unknown_fields=True):
    """What is true after a scene: lit at least once from then on; lit and dark again; never lit in the whole story."""

    lit: tuple[ExpectedChain, ...] = ()
    expired: tuple[ExpectedChain, ...] = ()
    dark: tuple[ExpectedChain, ...] = ()
    unexplained: tuple[ExpectedRead, ...] = ()
    duplicates: int = 0
    """At least so many repeated batches were recognised."""


class Scene(Struct, frozen=True, forbid_unknown_fields=True):
    """What happens at one moment. `noise`: how many events about other things; `fault`: what the network does to its batch."""

    at_s: Seconds
    tell: str = ""
    requests: tuple[Ask, ...] = ()
    noise: Annotated[int, Meta(ge=0, le=TIMES_MAX)] = 0
    fault: Literal["not_delivered", "answer_lost"] | None = None
    expect: Expect = Expect()


class Story(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole story; `secrets` are those that exist in its cluster, as "ns/name"."""

    title: str
    secrets: tuple[str, ...]
    scenes: Annotated[tuple[Scene, ...], Meta(min_length=1, max_length=SCENES_MAX)]
    apiserver: Flags = Flags()
    outsiders: dict[str, Person | LegacyToken | UnboundToken] = {}


def load_story(path: Path, cast: Cast) -> Story:
    """The story in this file, checked against its cast; StoryError for the first thing that is wrong."""
    try:
        story = msgspec.convert(yaml.load(path.read_bytes(), Loader=_LOADER), Story)  # noqa: S506 - a safe loader
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise StoryError(f"{path.name}: {' '.join(str(error).split())}") from error
    last_s = 0.0
    for number, scene in enumerate(story.scenes, 1):
        try:
            if scene.at_s < last_s:
                raise StoryError(f"at_s {scene.at_s:g} lies before the scene ahead of it")
            last_s = scene.at_s
            for ask in scene.requests:
                _request(story, cast, ask, 0.0, random.Random(0))  # noqa: S311 - only to see whether it can be made
            _check_expected(story, cast, scene.expect)
        except (CastError, StoryError) as error:
            raise StoryError(f"{path.name}: scene {number}: {error}") from error
    return story


def _check_expected(story: Story, cast: Cast, expect: Expect) -> None:
    for chain in (*expect.lit, *expect.expired, *expect.dark):
        if chain.workload not in cast.workloads:
            raise StoryError(f"the cluster file has no pod of {chain.workload}")
        _scope(story, chain.secret)
        if chain.binding is not None:
            cast.check(chain.binding)
    for read in expect.unexplained:
        cast.account_uid(_account(read.account))
        _scope(story, read.secret)


def _account(text: str) -> Account:
    namespace, slash, name = text.partition("/")
    if not slash or not namespace or not name:
        raise StoryError(f"{text!r} is no account (namespace/name)")
    return Account(namespace, name)


def _scope(story: Story, text: str, *, exists: bool = True) -> Scope:
    if text == "*":
        return Scope(None, None)
    namespace, slash, name = text.partition("/")
    if not slash or not namespace or not name:
        raise StoryError(f"{text!r} is no Secret (namespace/name, namespace/* or *)")
    if name != "*" and (text in story.secrets) != exists:
        raise StoryError(f"the Secret {text} is {'not ' if exists else ''}among the story's secrets")
    return Scope(namespace, None if name == "*" else name)


def _caller(story: Story, cast: Cast, who: str) -> tuple[Account | None, Caller]:
    if "/" in who:
        return cast.caller(who)
    outsider = story.outsiders.get(who)
    if outsider is None:
        raise StoryError(f"{who!r} is neither a workload (Kind/namespace/name) nor among the outsiders")
    fixed = random.Random(who)  # noqa: S311 - an example's ids, the same in every run
    if isinstance(outsider, Person):
        certificate = f"{fixed.getrandbits(256):064x}"
        return None, person_caller(
            outsider.user, outsider.groups, certificate=certificate, ip=outsider.ip, user_agent=outsider.user_agent
        )
    account = _account(outsider.account)
    uid = cast.account_uid(account)
    if isinstance(outsider, LegacyToken):
        return account, legacy_caller(
            account, uid=uid, secret=outsider.token_secret, ip=outsider.ip, user_agent=outsider.user_agent
        )
    return account, unbound_caller(
        account, uid=uid, token_id=new_id(fixed), ip=outsider.ip, user_agent=outsider.user_agent
    )


_CODES: Final = {"ok": 200, "denied": 403, "not_found": 404, "unauthorized": 401, "impersonation_denied": 403}


def _request(story: Story, cast: Cast, ask: Ask, now: float, chance: random.Random) -> Request:
    account, caller = _caller(story, cast, ask.by)
    scope = _scope(story, ask.secret, exists=ask.result != "not_found")
    if (ask.verb == "get") and scope.name is None:
        raise StoryError(f"get needs one Secret, not {ask.secret}")
    if ask.verb != "watch" and (ask.watch_s is not None or ask.open_s is not None):
        raise StoryError(f"watch_s and open_s are of watches, not of {ask.verb}")
    acting = _account(ask.as_account) if ask.as_account is not None else account
    return Request(
        caller=caller,
        verb=ask.verb,
        namespace=scope.namespace,
        name=scope.name,
        at=now - ask.ago_s,
        audit_id=new_id(chance),
        code=_CODES[ask.result],
        reason=_reason(cast, ask, acting),
        impersonated=account_user(acting) if ask.as_account is not None and acting is not None else None,
        decided=ask.result != "impersonation_denied",
        query={"limit": "500"} if ask.verb == "list" else {},
        watch_s=ask.watch_s,
        took_s=ask.open_s if ask.open_s is not None else ANSWER_S,
    )


def _reason(cast: Cast, ask: Ask, acting: Account | None) -> str:
    if ask.reason is not None:
        return ask.reason
    if ask.result in ("unauthorized", "impersonation_denied"):
        return ""
    if ask.result == "denied":
        return cast.complaint(ask.binding) if ask.binding is not None else ""
    if acting is None:
        return ""  # system:masters and other authorizers say nothing
    if ask.binding is None:
        raise StoryError(f"a request that was allowed to {acting} needs a binding or a reason")
    return cast.reason(ask.binding, acting)


def scene_events(
    story: Story, cast: Cast, scene: Scene, now: float, chance: random.Random
) -> list[tuple[float, AuditEvent]]:
    """The items of a scene that begins at `now` (epoch seconds), each with how many seconds later it is written."""
    found: list[tuple[float, AuditEvent]] = []
    for ask in scene.requests:
        for _ in range(ask.times):
            request = _request(story, cast, ask, now, chance)
            complete = ask.verb != "watch" or ask.open_s is not None or request.code >= 400
            for event in events_of(request, received=story.apiserver.every_stage, complete=complete):
                ended = event.stage == "ResponseComplete" and ask.open_s is not None
                found.append((max(0.0, (ask.open_s or 0.0) - ask.ago_s) if ended else 0.0, event))
    found += [
        (0.0, event) for event in noise_events(cast, scene.noise, now, chance, received=story.apiserver.every_stage)
    ]
    return found
