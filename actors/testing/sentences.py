"""Requests for Secrets in sentences, and the audit events that kube-apiserver writes of them.

    audit.get("app/db-creds").by("app/reader-sa").from_pod("web-1").denied()

A sentence is frozen: each word gives a new one, so that a beginning can be shared. It becomes events when it is posted, at the time
of the test's clock, against the cluster as it is then. Where nothing else is said the request was allowed, and comes from the first
pod that runs as the account; `without_pod` is somebody who holds the account's token elsewhere.
Counterparts: objects.py (who exists), events.py (the wire), session.py (which posts them).
"""

from __future__ import annotations

import random
from typing import Any, Final

import msgspec
from msgspec import Struct

from actors.evidence import Account
from actors.testing.cast import Cast, CastError
from actors.testing.events import (
    ANSWER_S,
    POD_NAME,
    POD_UID,
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
from actors.testing.objects import Cluster
from actors.testing.times import seconds

__all__ = ["Audit", "Sentence", "SentenceError"]

REPEATS_MAX: Final = 100_000


class SentenceError(ValueError):
    """A sentence that cannot be said of this cluster. One line that says what can."""


class Sentence(Struct, frozen=True):
    """One request, said word by word; see the module. `secret`: `ns/name`, `ns/*`, or `*`."""

    verb: str
    secret: str
    account: str = ""
    pod: str | None = None
    """A pod's name; "" for no pod at all, None for the first of the account's."""
    gone: bool = False
    binding: str = ""
    code: int = 200
    acting: str = ""
    after_s: float = 0.0
    count: int = 1
    resource: str = "secrets"
    open_s: float | None = None
    timeout_s: int | None = None
    received: bool = False
    ip: str = ""
    agent: str = ""
    legacy: bool = False

    def _with(self, **words: Any) -> Sentence:
        return msgspec.structs.replace(self, **words)

    # --- who ---

    def by(self, who: str) -> Sentence:
        """An account (`app/reader-sa`), a workload (`Deployment/app/web`), or a person (`alice`)."""
        return self._with(account=who)

    def from_pod(self, name: str) -> Sentence:
        """The pod whose bound token it was, by its name: `web-1`."""
        return self._with(pod=name)

    def from_gone_pod(self, name: str = "gone-1") -> Sentence:
        """A pod that the cluster does not know."""
        return self._with(pod=name, gone=True)

    def without_pod(self, *, legacy: bool = False) -> Sentence:
        """A token outside any pod: one from `kubectl create token`, or an everlasting one (`legacy`)."""
        return self._with(pod="", legacy=legacy)

    def impersonating(self, account: str) -> Sentence:
        """It is made as this account, by who is named with `by`."""
        return self._with(acting=account)

    def from_ip(self, ip: str) -> Sentence:
        """The address the request came from."""
        return self._with(ip=ip)

    def with_agent(self, agent: str) -> Sentence:
        """Its User-Agent."""
        return self._with(agent=agent)

    # --- how it ended ---

    def through(self, binding: str) -> Sentence:
        """The binding that the API server's reason names: `RoleBinding/app/reader`."""
        return self._with(binding=binding)

    def allowed(self) -> Sentence:
        """200, which is so where nothing is said."""
        return self._with(code=200)

    def denied(self) -> Sentence:
        """403."""
        return self._with(code=403)

    def not_found(self) -> Sentence:
        """404: allowed, and there is no such Secret."""
        return self._with(code=404)

    def failed(self, code: int = 500) -> Sentence:
        """Any other end."""
        return self._with(code=code)

    # --- when, how often, in which stages ---

    def at(self, offset: str | float) -> Sentence:
        """When, seen from the test's clock: `-30s` is half a minute ago."""
        return self._with(after_s=seconds(offset))

    def batch(self, count: int) -> Sentence:
        """So many requests of the same kind, each with an audit id of its own: `.batch(400)` is a full batch."""
        if not 1 <= count <= REPEATS_MAX:
            raise SentenceError(f"a batch of {count}: 1 to {REPEATS_MAX} can be")
        return self._with(count=count)

    def open_for(self, duration: str | float) -> Sentence:
        """Of a watch: it was open so long, and has ended. Both stages are written."""
        return self._with(open_s=seconds(duration))

    def until(self, timeout: str | float) -> Sentence:
        """Of a watch: its `timeoutSeconds`."""
        return self._with(timeout_s=int(seconds(timeout)))

    def with_every_stage(self) -> Sentence:
        """RequestReceived too, as an audit policy without omitStages writes it."""
        return self._with(received=True)

    def of(self, resource: str) -> Sentence:
        """Another resource than Secrets: noise."""
        return self._with(resource=resource)

    def __str__(self) -> str:
        end = {200: "", 403: ", denied", 404: ", not found"}.get(self.code, f", {self.code}")
        pod = "" if self.pod is None else " without a pod" if self.pod == "" else f" from pod {self.pod}"
        times = "" if self.count == 1 else f" ({self.count} times)"
        return f"{self.verb} {self.secret} by {self.account or 'nobody'}{pod}{end}{times}"

    # --- becoming events ---

    def events(self, cluster: Cluster, now: float, chance: random.Random) -> list[AuditEvent]:
        """The items that the API server writes. SentenceError where the cluster has not who is named."""
        cast = Cast(cluster.items)
        try:
            account, caller = self._caller(cluster, cast)
            request = self._request(cluster, cast, account, caller, now)
        except CastError as error:
            raise SentenceError(f"{self}: {error}") from None
        ended = self.verb != "watch" or self.open_s is not None or self.code >= 400
        return [
            event
            for _ in range(self.count)
            for event in events_of(
                msgspec.structs.replace(request, audit_id=new_id(chance)), received=self.received, complete=ended
            )
        ]

    def _request(self, cluster: Cluster, cast: Cast, account: Account | None, caller: Caller, now: float) -> Request:
        namespace, _, name = self.secret.partition("/")
        place = None if namespace == "*" else namespace
        own = None if name in ("", "*") else name
        if self.verb == "get" and own is None:
            raise SentenceError(f"{self}: get needs one Secret, namespace/name")
        acting = _account(self.acting) if self.acting else None
        return Request(
            caller=caller,
            verb=self.verb,
            namespace=place,
            name=own,
            at=now + self.after_s,
            audit_id="",
            code=self.code,
            reason=self._reason(cluster, cast, acting or account, place, own),
            impersonated=account_user(acting) if acting is not None else None,
            resource=self.resource,
            watch_s=self.timeout_s,
            took_s=ANSWER_S if self.open_s is None else self.open_s,
        )

    def _caller(self, cluster: Cluster, cast: Cast) -> tuple[Account | None, Caller]:
        who = self.account
        if not who:
            raise SentenceError(f"{self}: say by whom")
        if who.count("/") == 2:
            account, caller = cast.caller(who)
            return account, self._seen(caller)
        if "/" not in who:
            person = person_caller(
                who, ("system:authenticated",), certificate="00", ip="192.0.2.9", user_agent="kubectl"
            )
            return None, self._seen(person)
        account = _account(who)
        uid = str(cluster.objects.get(f"ServiceAccount/{who}", {"metadata": {}})["metadata"].get("uid", ""))
        pods = cluster.pods_of(who)
        if self.pod == "" or (self.pod is None and not pods):
            if self.legacy:
                outside = legacy_caller(account, uid=uid, secret="token", ip="192.0.2.8", user_agent="curl/8")  # noqa: S106 - a name
            else:
                token = new_id(random.Random(who))  # noqa: S311 - an id
                outside = unbound_caller(account, uid=uid, token_id=token, ip="192.0.2.8", user_agent="curl/8")
            return account, self._seen(outside)
        pod = self.pod if self.pod is not None and not self.gone else (pods[0] if pods else "")
        if pod not in pods:
            raise SentenceError(f"{self}: no pod {pod} runs as {who} (its pods: {', '.join(pods) or 'none'})")
        caller = self._seen(_pod_caller(cast, account, pod))
        return account, _renamed(caller, self.pod or "") if self.gone else caller

    def _seen(self, caller: Caller) -> Caller:
        words: dict[str, Any] = {}
        if self.ip:
            words["source_ips"] = (self.ip,)
        if self.agent:
            words["user_agent"] = self.agent
        return msgspec.structs.replace(caller, **words)

    def _reason(
        self, cluster: Cluster, cast: Cast, account: Account | None, namespace: str | None, name: str | None
    ) -> str:
        if self.code in (401, 403) or account is None:
            return ""
        if self.binding:
            return cast.reason(self.binding, account)
        for grant in cluster.grants().allowing(account, self.verb, namespace, name):
            where = f"{grant.binding.namespace}/" if grant.binding.namespace else ""
            return cast.reason(f"{grant.binding.kind}/{where}{grant.binding.name}", account)
        return ""


class Audit:
    """Where sentences begin: the fixture `audit`."""

    def get(self, secret: str) -> Sentence:
        """One Secret by name."""
        return Sentence("get", secret)

    def list(self, secret: str) -> Sentence:
        """The Secrets of a namespace (`app/*`), of all (`*`), or one selected by name."""
        return Sentence("list", secret)

    def watch(self, secret: str) -> Sentence:
        """The same as a watch; open until it is said to have ended (`open_for`)."""
        return Sentence("watch", secret)

    def request(self, verb: str, name: str, resource: str = "secrets") -> Sentence:
        """Any other request: `request("delete", "app/db-creds")`."""
        return Sentence(verb, name, resource=resource)


def _account(text: str) -> Account:
    namespace, slash, name = text.partition("/")
    if not slash or not namespace or not name:
        raise SentenceError(f"{text!r} is no account: write namespace/name")
    return Account(namespace, name)


def _pod_caller(cast: Cast, account: Account, pod: str) -> Caller:
    for workload in cast.workloads:
        number = 0
        while True:
            who = f"{workload}#{number}"
            try:
                owner, identity = cast.pod(who)
            except CastError:
                break
            if owner == account and identity.name == pod:
                return cast.caller(who)[1]
            number += 1
    raise CastError(f"no pod {pod} runs as {account}")


def _renamed(caller: Caller, pod: str) -> Caller:
    extra = dict(caller.user.extra)
    extra[POD_NAME] = (pod,)
    extra[POD_UID] = (new_id(random.Random(pod)),)  # noqa: S311 - an id
    return msgspec.structs.replace(caller, user=msgspec.structs.replace(caller.user, extra=extra))
