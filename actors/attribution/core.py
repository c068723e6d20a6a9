"""Whose reads these are: one observation and the account's pods -> evidence. Pure.

Two rules. Ambiguity is shown, never narrowed by guess: without a claim every workload of the account is named.
It is never widened either: where the event names a pod, only that pod's workload is.
A read is judged against the pods as they were when it happened: tombstones count until they are forgotten (design 3).
Counterpart: the store makes observations, the engine joins evidence with grants.
"""

from __future__ import annotations

import ipaddress

from actors.attribution.roster import Roster
from actors.cluster.records import Pod
from actors.evidence import LOGS, Attribution, Evidence, Observation, PodClaim, Signal
from actors.messages import AccountPods


def attribute(observation: Observation, pods: AccountPods | Roster, now: float) -> Evidence:
    """The observation with its attribution and the signals that need only it and the pods.

    `now` (epoch seconds) bounds the time at which pods are looked at: no read is judged by a future cluster.
    """
    roster = pods if isinstance(pods, Roster) else Roster(pods)
    at = min(observation.last.at, now)
    claim = observation.last.claim
    if claim is None or (claim.uid is None and claim.name is None):
        return _unclaimed(observation, roster, at)
    makers = _claimed(claim, roster, at)
    if not makers:
        return Evidence(observation, Attribution.GONE, (), (), _signals(observation, []))
    workloads, names = roster.summary(makers)
    signals = []
    if all(pod.gone_at is not None and pod.gone_at < at for pod in makers):
        signals.append(Signal.GONE_POD)
    sources, last = observation.sources, observation.last
    if not sources or (len(sources) == 1 and sources[0].address == last.source_ip and last.verb != "watch"):
        foreign = _is_foreign(last.source_ip, makers)  # one address, and its newest read is this one
    else:
        foreign = _any_foreign(observation, claim, roster, now)
    if foreign:
        signals.append(Signal.FOREIGN_SOURCE_IP)
    attribution = Attribution.EXACT if claim.uid is not None else Attribution.NAMED
    return Evidence(observation, attribution, workloads, names, _signals(observation, signals))


def attribute_again(earlier: Evidence, observation: Observation, roster: Roster, now: float) -> Evidence:
    """As `attribute`, given what the same roster, as it is now, said of an earlier read of the same observation: mostly the same."""
    last, before = observation.last, earlier.observation
    sources, claim = observation.sources, observation.last.claim
    if claim is not None and claim.uid is not None:
        pod = roster.with_uid(claim.uid)
        steady = pod is None or pod.gone_at is None
    else:
        steady = roster.steady
    if (
        steady
        and last.source_ip == before.last.source_ip
        and last.via == before.last.via
        and observation.first_read is before.first_read
        and len(sources) < 2  # of several, some may have ended
        and sources == before.sources
    ):
        return Evidence(observation, earlier.attribution, earlier.workloads, earlier.pods, earlier.signals)
    return attribute(observation, roster, now)


def _claimed(claim: PodClaim, roster: Roster, at: float) -> list[Pod]:
    """The pods that the claim names. With a uid the name is not looked at: the API server authenticated both together."""
    if claim.uid is not None:
        pod = roster.with_uid(claim.uid)
        return [] if pod is None else [pod]
    return roster.with_name(claim.name, at) if claim.name is not None else []


def _unclaimed(observation: Observation, roster: Roster, at: float) -> Evidence:
    """No pod is claimed: every workload that ran as the account, or none."""
    workloads, names = roster.running_at(at)
    if not workloads:
        return Evidence(observation, Attribution.PODLESS, (), (), _signals(observation, [Signal.PODLESS]))
    silent = "pod" in LOGS.get(
        observation.last.via, ()
    )  # its log names no pods: that none is named says nothing of the token
    signals = [Signal.UNBOUND_TOKEN] if roster.has_bound_tokens and not silent else []
    return Evidence(observation, Attribution.SHARED, workloads, names, _signals(observation, signals))


def _signals(observation: Observation, found: list[Signal]) -> tuple[Signal, ...]:
    """`found`, and what the observation alone says, in a fixed order."""
    last = observation.last
    if observation.first_read:
        found.append(Signal.FIRST_READ)
    if last.scope.namespace != last.account.namespace:
        found.append(Signal.CROSS_NAMESPACE)
    if last.scope.name is None:
        found.append(Signal.COLLECTION_READ)
    if last.borrowed:
        found.append(Signal.IMPERSONATED)
    return tuple(found)


def _any_foreign(observation: Observation, claim: PodClaim, roster: Roster, now: float) -> bool:
    """Whether any live read came from elsewhere than the claimed pods: one by the pod itself does not hide it.

    Of what is not live the newest read is judged. An address that ends is noticed with the next change of the observation.
    """
    live = [source for source in observation.seen_from if source.live_until > now]
    if not live:
        return _is_foreign(observation.last.source_ip, _claimed(claim, roster, min(observation.last.at, now)))
    return any(_is_foreign(source.address, _claimed(claim, roster, min(source.at, now))) for source in live)


def _is_foreign(source_ip: str | None, makers: list[Pod]) -> bool:
    """Whether the address is none of these pods' or their nodes'. Not claimed while an address of theirs is unknown."""
    if source_ip is None:
        return False
    known: list[str] = []
    for pod in makers:
        if source_ip in pod.ips or source_ip in pod.host_ips:
            return False
        if not (pod.host_ips if pod.host_network else pod.ips):
            return False
        known.extend(pod.ips + pod.host_ips)
    return _address(source_ip) not in {_address(ip) for ip in known}


def _address(text: str) -> object:
    """One value for every way to write an address; other text (an outsider chose it) stays itself."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
