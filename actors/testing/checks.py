"""What a policy test asserts of chains, of accounts and of Secrets. Each failure explains itself (timeline.py).

Every assertion works at once in a plain test and is awaited in an async one. Counterpart: protector.py, which makes the checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.evidence import Account
from actors.grants import READ_VERBS, access_of, readers_of
from actors.testing.bridge import Bridge, Explained, either
from actors.testing.timeline import explained

if TYPE_CHECKING:
    from actors.testing.session import Session

__all__ = ["AccessCheck", "ChainCheck", "PolicyViolated", "SecretCheck"]


class PolicyViolated(Explained):
    """An assertion about chains, access or evidence failed; the text says what was expected and what there is."""


class _Check:
    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def bridge(self) -> Bridge | None:
        """As the session's."""
        return self._session.bridge

    def _fail(self, expected: str, found: str, **more: Any) -> PolicyViolated:
        return PolicyViolated(explained(self._session, expected, found, **more))


class ChainCheck(_Check):
    """The chains from one workload to one Secret; with `binding` (`RoleBinding/app/reader`) only the one by this binding."""

    def __init__(self, session: Session, workload: str, secret: str, binding: str) -> None:
        super().__init__(session)
        self._workload, self._binding = workload, binding
        self._secret = _secret(secret)
        self._name = f"a chain {workload} -> {secret}" + (f" by {binding}" if binding else "")

    async def _chains(self) -> list[Any]:
        found = await self._session.chains(secret=self._secret)
        names = (self._workload, self._workload.partition("/")[2])
        return [
            chain
            for chain in found
            if (f"{chain.entry.kind}/{chain.entry.namespace}/{chain.entry.name}" == names[0])
            or (self._workload.count("/") == 1 and f"{chain.entry.namespace}/{chain.entry.name}" == names[0])
            if not self._binding or (chain.grant is not None and _object(chain.grant.binding) == self._binding)
        ]

    async def _expect(self, wanted: str, holds: Any, why_not: str = "") -> None:
        __tracebackhide__ = True
        chains = await self._chains()
        if not chains:
            workloads = self._session.cluster.workloads()
            known = any(self._workload in (each, each.partition("/")[2]) for each in workloads)
            hint = (
                ()
                if known
                else (f"no workload is called {self._workload}; there are: {', '.join(workloads) or 'none'}",)
            )
            raise self._fail(
                f"{self._name} {wanted}", "there is no such chain", evidence=await self._evidence(), hints=hint
            )
        if not any(holds(chain) for chain in chains):
            found = why_not or "; ".join(_state(chain) for chain in chains)
            raise self._fail(
                f"{self._name} {wanted}", found, evidence=await self._evidence(), hints=await self._why_dark(chains)
            )

    async def _refuse(self, wanted: str, broken: Any) -> None:
        __tracebackhide__ = True
        bad = [chain for chain in await self._chains() if broken(chain)]
        if bad:
            found = "; ".join(_state(chain) for chain in bad)
            raise self._fail(f"{self._name} {wanted}", found, evidence=await self._evidence())

    async def _evidence(self) -> list[Any]:
        return await self._session.evidence(secret=self._secret)

    async def _why_dark(self, chains: list[Any]) -> tuple[str, ...]:
        """What a person would look for first."""
        hints = []
        accounts = {
            (c.service_account.namespace, c.service_account.name) for c in chains if c.service_account is not None
        }
        evidence = await self._evidence()
        mine = [each for each in evidence if (each.service_account.namespace, each.service_account.name) in accounts]
        if evidence and not mine:
            hints.append("there is evidence of this Secret, but none by the chain's account")
        if any(not each.live for each in mine):
            ttl_s = self._session.ttl_s
            hints.append(f"evidence there was has ended: it is live for {ttl_s:g} s after the event's own time")
        if not evidence and any(each.dropped for each in self._session.posted):
            hints.append("every event that was posted about it may have been dropped: see below which rule did")
        return tuple(hints)

    @either
    async def exists(self) -> None:
        """There is one, lit or not: the workload may read the Secret."""
        await self._expect("exists", lambda _: True)

    @either
    async def does_not_exist(self) -> None:
        """There is none: the workload may not read the Secret, nor does it mount it."""
        await self._refuse("does not exist", lambda chain: not (chain.grant is not None and chain.grant.revoked))

    @either
    async def is_lit(self) -> None:
        """It is corroborated now: there is live evidence that it was used."""
        await self._expect("is lit", lambda chain: chain.corroborated)

    @either
    async def is_proven(self) -> None:
        """It is lit, and the API server's own reason named its binding."""
        await self._expect("is proven", lambda chain: chain.corroboration == "proven")

    @either
    async def is_possible(self) -> None:
        """It is lit, but no live reason named its binding."""
        await self._expect("is possible, not proven", lambda chain: chain.corroboration == "possible")

    @either
    async def is_dark(self) -> None:
        """None of them is corroborated now (also when there is none)."""
        await self._refuse("is dark", lambda chain: chain.corroborated)

    @either
    async def is_exposed(self) -> None:
        """Its workload can be reached from the internet."""
        await self._expect("is exposed to the internet", lambda chain: chain.entry.exposure == "internet")

    @either
    async def is_mounted(self) -> None:
        """The workload mounts the Secret: no grant is needed."""
        await self._expect("is by a mount", lambda chain: chain.reach == "mounted")


class AccessCheck(_Check):
    """One account: what it may read by RBAC, and what it has read by the evidence there is."""

    def __init__(self, session: Session, account: str) -> None:
        super().__init__(session)
        self._name = account
        self._account = Account(*_secret(account))

    def _grants(self, verb: str, secret: str) -> list[Any]:
        namespace, name = _scope(secret)
        if verb not in READ_VERBS:
            raise ValueError(f"{verb!r} is none of the verbs that read: {', '.join(READ_VERBS)}")
        found = self._session.cluster.grants().allowing(self._account, verb, namespace, name)
        return [each for each in found if not each.revoked]

    @either
    async def may(self, verb: str, secret: str) -> None:
        """RBAC allows it: `may("get", "app/db-creds")`, `may("list", "app/*")`."""
        if not self._grants(verb, secret):
            raise self._fail(f"{self._name} may {verb} {secret}", f"no grant allows it; {self._summary()}")

    @either
    async def may_not(self, verb: str, secret: str) -> None:
        """RBAC does not allow it."""
        found = self._grants(verb, secret)
        if found:
            by = "; ".join(f"{_object(grant.binding)} of {_object(grant.role)}" for grant in found)
            raise self._fail(f"{self._name} may not {verb} {secret}", f"allowed by {by}")

    @either
    async def may_read_only(self, *secrets: str) -> None:
        """RBAC lets it read these (`app/db-creds`, `app/*`) and nothing else."""
        allowed = [_scope(each) for each in secrets]
        readable = access_of(self._session.cluster.grants(), self._account)
        beyond = [each for each in readable if not _is_within(each.scope.namespace, each.scope.name, allowed)]
        if beyond:
            found = "; ".join(f"{','.join(e.verbs)} {e.scope} by {_object(e.grant.binding)}" for e in beyond)
            raise self._fail(f"{self._name} may read only {', '.join(secrets) or 'nothing'}", f"also {found}")

    @either
    async def has_read(self, secret: str) -> None:
        """There is evidence (live, or ended within the last hour) that it read the Secret."""
        namespace, name = _scope(secret)
        if not await self._reads(namespace, name):
            everything = await self._session.evidence(account=_pair(self._account))
            raise self._fail(f"{self._name} has read {secret}", "no evidence of it", evidence=everything)

    @either
    async def has_not_read(self, secret: str) -> None:
        """There is no evidence (live, or ended within the last hour) of it: not by name, and not in a collection."""
        namespace, name = _scope(secret)
        found = await self._reads(namespace, name)
        if found:
            raise self._fail(f"{self._name} has not read {secret}", f"{len(found)} pieces of evidence", evidence=found)

    @either
    async def has_read_only(self, *secrets: str) -> None:
        """All its evidence is of these, and there is some: without any, nothing would be shown. Without arguments: there is none."""
        allowed = [_scope(each) for each in secrets]
        expected = f"{self._name} has read only {', '.join(secrets) or 'nothing'}"
        everything = await self._session.evidence(account=_pair(self._account))
        beyond = [each for each in everything if not _is_within(each.secret.namespace, each.secret.name, allowed)]
        if beyond:
            raise self._fail(expected, f"{len(beyond)} pieces of evidence of others", evidence=beyond)
        if allowed and not everything:
            raise self._fail(expected, "no evidence of any read of it", evidence=[])

    @either
    async def shows(self, signal: str) -> None:
        """Some evidence of it carries this signal (`first_read`, `unexplained`, `foreign_source_ip`, ...)."""
        everything = await self._session.evidence(account=_pair(self._account))
        if not any(signal in each.signals for each in everything):
            raise self._fail(f"evidence of {self._name} shows {signal}", "none does", evidence=everything)

    @either
    async def shows_no(self, signal: str) -> None:
        """No evidence of it carries this signal."""
        everything = await self._session.evidence(account=_pair(self._account))
        bad = [each for each in everything if signal in each.signals]
        if bad:
            raise self._fail(f"no evidence of {self._name} shows {signal}", f"{len(bad)} pieces do", evidence=bad)

    async def _reads(self, namespace: str | None, name: str | None) -> list[Any]:
        everything = await self._session.evidence(account=_pair(self._account))
        return [
            each
            for each in everything
            if each.secret.namespace in (None, namespace) and (name is None or each.secret.name in (None, name))
        ]

    def _summary(self) -> str:
        access = access_of(self._session.cluster.grants(), self._account)
        if access:
            return "it may: " + "; ".join(
                f"{','.join(e.verbs)} {e.scope} by {_object(e.grant.binding)}" for e in access
            )
        known = f"ServiceAccount/{self._name}" in self._session.cluster.objects
        return "it may read no Secret" if known else f"there is no ServiceAccount {self._name}"


class SecretCheck(_Check):
    """One Secret: who may read it by RBAC or mounts it, and who has read it."""

    def __init__(self, session: Session, name: str) -> None:
        super().__init__(session)
        self._name = name
        self._secret = _secret(name)

    @either
    async def is_readable_only_by(self, *accounts: str) -> None:
        """By RBAC, no other account may read it: of those that exist, and of those that only a binding names."""
        grants = self._session.cluster.grants()
        known = {
            Account(*_secret(key.partition("/")[2]))
            for key in self._session.cluster.objects
            if key.startswith("ServiceAccount/")
        }
        readers = readers_of(grants, *self._secret, sorted(known | grants.named_accounts()))
        beyond = [each for each in readers if str(each.account) not in accounts]
        if beyond:
            found = "; ".join(
                f"{each.account} ({','.join(each.verbs)}) by {', '.join(_object(g.binding) for g in each.grants)}"
                for each in beyond
            )
            raise self._fail(f"{self._name} is readable only by {', '.join(accounts) or 'nobody'}", f"also by {found}")

    @either
    async def is_mounted_only_by(self, *workloads: str) -> None:
        """No other workload mounts it."""
        chains = await self._session.chains(secret=self._secret)
        mounting = {f"{c.entry.namespace}/{c.entry.name}" for c in chains if c.reach == "mounted"}
        beyond = sorted(mounting - set(workloads))
        if beyond:
            expected = f"{self._name} is mounted only by {', '.join(workloads) or 'nobody'}"
            raise self._fail(expected, f"also by {', '.join(beyond)}")

    @either
    async def was_read_only_by(self, *accounts: str) -> None:
        """All evidence of it is of these accounts."""
        everything = await self._session.evidence(secret=self._secret)
        beyond = [e for e in everything if f"{e.service_account.namespace}/{e.service_account.name}" not in accounts]
        if beyond:
            others = sorted({f"{e.service_account.namespace}/{e.service_account.name}" for e in beyond})
            expected = f"{self._name} was read only by {', '.join(accounts) or 'nobody'}"
            raise self._fail(expected, f"also by {', '.join(others)}", evidence=beyond)

    @either
    async def was_not_read(self) -> None:
        """There is no evidence that anybody read it."""
        everything = await self._session.evidence(secret=self._secret)
        if everything:
            raise self._fail(f"{self._name} was not read", f"{len(everything)} pieces of evidence", evidence=everything)


def _secret(text: str) -> tuple[str, str]:
    namespace, slash, name = text.partition("/")
    if not slash or not namespace or not name:
        raise ValueError(f"{text!r} is no name: write namespace/name")
    return namespace, name


def _is_within(namespace: str | None, name: str | None, allowed: list[tuple[str | None, str | None]]) -> bool:
    """Whether one of these scopes holds all of this one; None is every namespace, or every name."""
    return any(n in (None, namespace) and each in (None, name) for n, each in allowed)


def _scope(text: str) -> tuple[str | None, str | None]:
    if text == "*":
        return None, None
    namespace, name = _secret(text)
    return namespace, None if name == "*" else name


def _pair(account: Account) -> tuple[str, str]:
    return account.namespace, account.name


def _object(view: Any) -> str:
    return "/".join(part for part in (view.kind, view.namespace, view.name) if part)


def _state(chain: Any) -> str:
    by = _object(chain.grant.binding) if chain.grant is not None else "a mount"
    state = f"lit ({chain.corroboration})" if chain.corroborated else "dark"
    revoked = ", its binding is revoked" if chain.grant is not None and chain.grant.revoked else ""
    until = f" until {chain.expires_at}" if chain.expires_at else ""
    return f"the chain by {by} is {state}{until}{revoked}"
