"""What the demonstration says and demands: lines, escapes, colours, and the judge of every kind of expectation."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.testing.story import Expect, ExpectedChain, ExpectedRead, Scene, Story
from web.demo_story import Judge, Teller, printable

CHAIN = ExpectedChain("Deployment/n/web", "n/key", "RoleBinding/n/b")
READ = ExpectedRead("n/sa", "n/key")


def chain(
    *,
    lit,
    kind="Deployment",
    name="web",
    binding=("RoleBinding", "n", "b"),
    corroboration="proven",
    reach="rbac-granted",
):
    """A chain as /api/chains answers it."""
    grant = {"binding": dict(zip(("kind", "namespace", "name"), binding, strict=True))} if binding else None
    return {
        "entry": {"kind": kind, "namespace": "n", "name": name},
        "reach": reach,
        "grant": grant,
        "corroborated": lit,
        "corroboration": corroboration if lit else None,
    }


class Answers:
    """The API at one moment."""

    def __init__(self, *chains, evidence=(), duplicates=0):
        self._chains, self._evidence, self._duplicates = chains, evidence, duplicates

    def chains(self, secret):
        return self._chains if secret == "n/key" else ()

    def evidence(self, account, secret):
        return self._evidence if (account, secret) == ("n/sa", "n/key") else ()

    def duplicates(self):
        return self._duplicates


def judge(*looks, **expect):
    """A judge of one scene with these expectations, after these looks."""
    story = Story("t", ("n/key",), (Scene(0.0), Scene(1.0, expect=Expect(**expect))))
    found = Judge(story)
    for look in looks:
        found.look(look)
    return found


LIT, DARK = Answers(chain(lit=True)), Answers(chain(lit=False))


@pytest.mark.parametrize(
    ("looks", "expect", "missing"),
    [
        # lit: once is enough
        ((LIT,), {"lit": (CHAIN,)}, None),
        ((LIT, DARK), {"lit": (CHAIN,)}, None),
        ((DARK,), {"lit": (CHAIN,)}, "never corroborated"),
        ((Answers(),), {"lit": (CHAIN,)}, "no such chain"),
        ((), {"lit": (CHAIN,)}, "no such chain"),
        # the right chain, the right way
        ((Answers(chain(lit=True, name="other")),), {"lit": (CHAIN,)}, "no such chain"),
        ((Answers(chain(lit=True, binding=("RoleBinding", "n", "other"))),), {"lit": (CHAIN,)}, "no such chain"),
        ((Answers(chain(lit=True, binding=None)),), {"lit": (CHAIN,)}, "no such chain"),
        ((LIT,), {"lit": (ExpectedChain("Deployment/n/web", "n/key"),)}, None),
        ((LIT,), {"lit": (ExpectedChain("Deployment/n/web", "n/key", reach="mounted"),)}, "no such chain"),
        ((LIT,), {"lit": (ExpectedChain("Deployment/n/web", "n/key", corroboration="proven"),)}, None),
        ((LIT,), {"lit": (ExpectedChain("Deployment/n/web", "n/key", corroboration="possible"),)}, "only proven"),
        # expired: lit, then dark
        ((LIT, DARK), {"expired": (CHAIN,)}, None),
        ((LIT,), {"expired": (CHAIN,)}, "has not expired"),
        ((DARK,), {"expired": (CHAIN,)}, "never corroborated"),
        # dark: never lit, and there at all
        ((DARK,), {"dark": (CHAIN,)}, None),
        ((LIT, DARK), {"dark": (CHAIN,)}, "lit, but nothing used it"),
        ((Answers(),), {"dark": (CHAIN,)}, "no such chain"),
        # unexplained reads and repeated batches
        ((Answers(evidence=[{"explained": False}]),), {"unexplained": (READ,)}, None),
        ((Answers(evidence=[{"explained": None}]),), {"unexplained": (READ,)}, "not reported as unexplained"),
        ((Answers(duplicates=1),), {"duplicates": 1}, None),
        ((Answers(duplicates=1),), {"duplicates": 2}, "recognised: 1, not 2"),
    ],
)
def test_judge(looks, expect, missing):
    """Each kind of expectation: what fulfils it, and what is said when it is not."""
    found = judge(*looks, **expect).missing()
    assert len(found) == (missing is not None)
    assert missing is None or missing in found[0]


def test_only_a_lit_chain_that_must_be_dark_cannot_be_mended():
    """A missing light may still come; a wrong one ends the story at once."""
    assert judge(LIT, dark=(CHAIN,)).broken() == [
        "scene 2: lit, but nothing used it: Deployment/n/web -> n/key (by RoleBinding/n/b)"
    ]
    assert judge(DARK, lit=(CHAIN,)).broken() == []


def test_a_wide_chain_is_asked_for_as_such():
    """A Secret that is a pattern is asked for as it is written."""
    asked = []

    class Asked(Answers):
        def chains(self, secret):
            asked.append(secret)
            return ()

    judge(Asked(), lit=(ExpectedChain("Pod/n/p", "*"),))
    assert asked == ["*"]


# --- lines ------------------------------------------------------------------------------------------------------------------


def told(act, *, color=False):
    out = io.StringIO()
    act(Teller(out, color=color))
    return out.getvalue()


FLIP = {
    "event": "chain.corroborated",
    "workload": "Deployment/n/web",
    "service_account": "n/sa",
    "secret": "n/key",
    "attribution": "exact",
    "corroboration": "proven",
    "exposure": "internet",
    "signals": ["first_read"],
}


@pytest.mark.parametrize(
    ("flip", "line"),
    [
        (FLIP, "  * corroborated  Deployment/n/web -> n/key  (proven, exact, internet, first_read)  as n/sa\n"),
        (
            FLIP | {"event": "chain.expired", "signals": []},
            "  o expired       Deployment/n/web -> n/key  (proven, exact, internet)  as n/sa\n",
        ),
        (
            {"event": "read.unexplained", "workload": None, "service_account": "n/sa", "secret": "n/key"},
            "  ! unexplained   n/sa -> n/key\n",
        ),
        ({"event": "something.new"}, "  ? something.new  None -> None\n"),
    ],
)
def test_one_line_per_flip(flip, line):
    """Each flip is one line, told apart by word and sign, not by colour alone."""
    assert told(lambda teller: teller.flip(flip)) == line


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"error": "answered 503", "retry_in_s": 10.51}, "answered 503; the same bytes come again in 10.5 s"),
        ({"attempt": 5, "error": "answered 503", "retry_in_s": None}, "answered 503; it is lost"),
        ({"attempt": 2, "answer": {"duplicate": True}}, "came again, was recognised and changed nothing"),
        ({"attempt": 2, "answer": {"duplicate": False}}, "delivered at attempt 2"),
        ({}, None),
    ],
)
def test_attempts_that_are_worth_a_line(changes, line):
    """Failures, retries and recognised repetitions are told; what simply works is not."""
    attempt = {"batch": 3, "attempt": 1, "error": None, "answer": {}, **changes}
    assert told(lambda teller: teller.attempt(attempt)) == ("" if line is None else f"    batch 3: {line}\n")


def test_colours_only_where_they_are_wanted():
    """With colours the text is the same between the codes."""
    assert told(lambda teller: teller.flip(FLIP), color=True).startswith("\x1b[31m  * corroborated")
    assert "\x1b" not in told(lambda teller: teller.flip(FLIP))


@settings(derandomize=True, deadline=None)
@given(st.text())
def test_nothing_that_is_told_moves_the_cursor(text):
    """Names are written with every control character as an escape, on one line."""
    line = told(lambda teller: teller.flip(FLIP | {"workload": text, "secret": text, "signals": [text]}))
    assert line.count("\n") == 1
    assert line[:-1].isprintable()
    assert printable(printable(text)) == printable(text)
