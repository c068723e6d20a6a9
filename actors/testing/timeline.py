"""What a failing assertion says besides what was expected: the evidence there is, what became of each event, the last messages, the
tree, the faults, the seed. Pure text of a session's records; never the contents of a message.

Counterpart: checks.py, conservation.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.testing.faults import places

if TYPE_CHECKING:
    from actors.runtime import ActorSnapshot
    from actors.testing.session import Session

__all__ = ["explained", "tree_text"]

EVENTS_SHOWN: Final = 20
MESSAGES_SHOWN: Final = 25
EVIDENCE_SHOWN: Final = 10
FAULTS_SHOWN: Final = 10


def explained(
    session: Session, expected: str, found: str, *, evidence: list[Any] | None = None, hints: tuple[str, ...] = ()
) -> str:
    """The whole text."""
    sections = [f"expected: {expected}", f"   found: {found}"]
    sections += [f"    hint: {hint}" for hint in (*hints, *_not_restarted(session))]
    if evidence is not None:
        sections += ["", f"evidence ({len(evidence)}):", *(_evidence(each) for each in evidence[:EVIDENCE_SHOWN])]
        sections += [f"  ... and {len(evidence) - EVIDENCE_SHOWN} more"] if len(evidence) > EVIDENCE_SHOWN else []
    sections += ["", *_events(session), "", *_messages(session)]
    if session.faults.done:
        sections += ["", "faults that happened:"]
        sections += [
            f"  {_since(session, each.at)}  {each.what} {_short(each.path)} {each.message_type}".rstrip()
            for each in session.faults.done[-FAULTS_SHOWN:]
        ]
    if session.system is not None:
        sections += ["", "tree:", tree_text(session.system.snapshot())]
    sections += ["", f"seed: {session.seed}    virtual time: {_since(session, session.now())}"]
    return "\n".join(sections)


def _not_restarted(session: Session) -> list[str]:
    """Actors whose failures outnumber their restarts, or that do not run: what a person would find in the tree at last."""
    if session.system is None:
        return []
    return [
        f"{each.path} failed {each.failed} times and was not restarted "
        f"(incarnation {each.incarnation}; {each.mailbox.depth} messages wait)"
        for each in places(session.system.snapshot())
        if each.failed >= each.incarnation
    ]


def _evidence(each: Any) -> str:
    secret = "/".join(part or "*" for part in (each.secret.namespace, each.secret.name))
    account = f"{each.service_account.namespace}/{each.service_account.name}"
    state = "live" if each.live else "ended"
    pods = ", ".join(each.pods) or "no pod"
    rest = f", signals {', '.join(each.signals)}" if each.signals else ""
    explained_by = (
        "explained" if each.explained else "not explained by any grant" if each.explained is False else "not judged yet"
    )
    return (
        f"  {account} {each.verb or each.behavior.kind} {secret} x{each.count}, {state}, {each.attribution} ({pods}), {explained_by}, "
        f"lights {len(each.chains)} chains{rest}"
    )


def _events(session: Session) -> list[str]:
    posted = list(session.posted)
    lines = [f"events posted ({len(posted)}), and which rule dropped which:"]
    if not posted:
        return [*lines, "  none: nothing was posted in this test"]
    for each in posted[-EVENTS_SHOWN:]:
        became = "taken as a read" if each.dropped is None else f"dropped: {each.dropped}"
        lines.append(f"  {_since(session, each.at)}  {each.said}  -> {became}")
    return lines


def _messages(session: Session) -> list[str]:
    seen = [each for each in session.taps.seen if not each.message_type.startswith("_")]
    lines = [f"the last messages ({min(len(seen), MESSAGES_SHOWN)} of {len(seen)}; ticks left out):"]
    return lines + [
        f"  {_since(session, each.at)}  {each.message_type} -> {_short(each.path)}" for each in seen[-MESSAGES_SHOWN:]
    ]


def _since(session: Session, at: float) -> str:
    return f"+{at - session.clock.start_at:.3f}s"


def _short(path: str) -> str:
    return path.rpartition("/")[2]


def tree_text(node: ActorSnapshot, indent: int = 1) -> str:
    """The supervision tree, one line an actor."""
    mailbox = node.mailbox
    state = getattr(node.state, "value", node.state)
    line = f"{'  ' * indent}{_short(node.path)}  {state}, incarnation {node.incarnation}, handled {node.handled}"
    line += f", failed {node.failed}" if node.failed else ""
    line += f", mailbox {mailbox.depth}/{mailbox.capacity}" if mailbox.depth else ""
    return "\n".join([line, *(tree_text(child, indent + 1) for child in node.children)])
