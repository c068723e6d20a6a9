"""Rights against use and the doctor's checks of expected readers: over logs, over a server's history, and what they say."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
import web_stand_ins as w
from click.testing import CliRunner, Result
from small_cluster import Acts, batch, small_cluster
from trio_run import run

from actors.engine.expected import Entry, Expected
from actors.evidence import Account, Scope
from actors.grants import Use
from actors.store import HistoryAnswer, HistoryPage, HistoryPageQuery, HistoryQuery, HistoryRow
from actors.testing.events import as_dict
from web.cli import cli
from web.doctor import show_group
from web.expected_checks import expected_findings
from web.history import history_answer
from web.params import BadParameter
from web.rights import uses_of_server

AT = 1_795_562_763.0
CANARY = "c2VjcmV0LWNhbmFyeS12YWx1ZQ"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A cluster, and a log in which some of the rights are used; the log holds a value in a responseObject."""
    folder = tmp_path_factory.mktemp("rights")
    cluster = small_cluster()
    acts = Acts(cluster)
    events = [
        acts.read("Deployment/app/web", "get", "app/db-creds", AT, by="RoleBinding/app/reader-get"),
        acts.read("Deployment/app/audit", "list", "app/*", AT - 3 * 86400.0, by="RoleBinding/app/lister-list"),
        acts.read("Deployment/ops/operator", "get", "app/smtp", AT, by="ClusterRoleBinding/wide-all"),
    ]
    items = [
        as_dict(event) | {"responseObject": {"data": {"password": CANARY}}, "level": "RequestResponse"}
        for event in events
    ]
    paths = {"cluster": folder / "cluster.json", "log": folder / "audit.log"}
    paths["cluster"].write_text(cluster.text())
    paths["log"].write_bytes(batch(*items))
    return {name: str(path) for name, path in paths.items()}


def access(files: dict[str, str], *arguments: str) -> Result:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("web.cli.configure", lambda *_: None)
        ended = CliRunner().invoke(cli, ["access", "--cluster", files["cluster"], *arguments])
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    assert CANARY not in ended.output
    return ended


def test_unused_rights_of_a_log(files: dict[str, str]) -> None:
    """By verb, with when they were used last; exit 1, and stderr says how far back use is known."""
    ended = access(files, "--unused", "--days", "1", "--log", files["log"])
    assert ended.exit_code == 1
    rows = {tuple(line.split()[:3]): line for line in ended.stdout.splitlines()[1:]}
    assert ("app/lister", "app/*", "list,watch") in rows
    assert "2026-11-21" in rows["app/lister", "app/*", "list,watch"]
    assert ("ops/wide", "*", "list,watch") in rows
    assert "never seen" in rows["ops/wide", "*", "list,watch"]
    assert not [row for row in rows if row[0] == "app/reader"]
    assert "known since" in ended.stderr
    assert "less than the 30 days" in access(files, "--unused", "--log", files["log"]).stderr


def test_the_narrowest_roles_of_a_log(files: dict[str, str]) -> None:
    """What is used, the account's own role narrowed in place, and a comment that names what else it has."""
    ended = access(files, "--narrowest", "--account", "app/lister", "--log", files["log"])
    assert ended.exit_code == 0
    assert (
        'name: "lister-list"' not in ended.stdout
    )  # it has two roles of its own here: neither is taken for the one to narrow
    assert "# app/lister has more by RoleBinding/app/lister-smtp" in ended.stdout
    own = access(files, "--narrowest", "--account", "app/reader", "--log", files["log"]).stdout
    assert 'name: "reader-get"' in own
    assert "RoleBinding" not in own
    wide = access(files, "--narrowest", "--account", "ops/wide", "--log", files["log"]).stdout
    assert "kind: Role\n" in wide
    assert 'resourceNames:\n  - "smtp"' in wide
    assert "ClusterRole\n" not in wide


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--unused"], "give either --log or --server"),
        (["--unused", "--narrowest"], "ask one question"),
        (["--unused", "--secret", "a/b"], "ask one question"),
        (["--days", "3"], "go with --unused or --narrowest"),
        (["--unused", "--account", "nonsense", "--log", "LOG"], "account must be namespace/name"),
    ],
)
def test_questions_that_do_not_go_together(files: dict[str, str], arguments: list[str], said: str) -> None:
    """Exit 2 and one line."""
    ended = access(files, *(files["log"] if each == "LOG" else each for each in arguments))
    assert ended.exit_code == 2
    assert said in ended.stderr
    assert ended.stdout == ""


# --- history over the API ----------------------------------------------------------------------------------------------


def rows(*names: str) -> tuple[HistoryRow, ...]:
    return tuple(HistoryRow(Account("app", name), Scope("app", "x"), "get", AT - 5, AT, 3, 9) for name in names)


def with_history(*pages: tuple[HistoryRow, ...]) -> Any:
    """Sources whose store has a part for each page."""

    def page(query: HistoryPageQuery) -> HistoryPage:
        return HistoryPage(AT - 9, pages[query.part], query.part + 1 if query.part + 1 < len(pages) else None, None)

    def own(query: HistoryQuery) -> HistoryAnswer:
        return HistoryAnswer(AT - 9, tuple(row for some in pages for row in some if row.account == query.account))

    return w.made_up(store=w.Ref({HistoryPageQuery: page, HistoryQuery: own}))


def test_history_is_paged_through_the_parts_of_the_store() -> None:
    """Each row once; parts without rows cost no page; what is no cursor is refused."""
    sources = with_history((), rows("b", "a"), (), rows("c"))
    first = run(history_answer, sources, [("limit", "2")])
    assert [row.service_account.name for row in first.history] == ["a", "b"]
    rest = run(history_answer, sources, [("limit", "2"), ("cursor", first.next_cursor)])
    assert ([row.service_account.name for row in rest.history], rest.next_cursor) == (["c"], None)
    alone = run(history_answer, sources, [("account", "app/b")])
    assert [(row.verb, row.count) for row in alone.history] == [("get", 3)]
    for cursor in ("x", "bnVsbA==", "WzEsMl0="):
        with pytest.raises(BadParameter):
            run(history_answer, sources, [("cursor", cursor)])


def test_uses_of_a_server_are_its_history() -> None:
    """The rows, and since when they are known."""

    class Answers:
        def get(self, _path: str, **_query: str) -> Any:
            return msgspec.to_builtins(run(history_answer, with_history(rows("a")), []))

        def pages(self, path: str, key: str) -> Any:
            return self.get(path)[key]

    known = uses_of_server(Answers())  # type: ignore[arg-type]
    assert [Use(Account("app", "a"), Scope("app", "x"), "get", AT - 5, AT, 3)] == known.uses
    assert known.since == AT - 9


# --- the doctor ----------------------------------------------------------------------------------------------------------


def test_the_doctor_names_entries_that_are_over_or_match_nothing(tmp_path: Path) -> None:
    """By number and pattern, with what to do; those that are built in are not looked at."""
    entries = Expected([
        Entry("app/a", ("app/x",), "fine"),
        Entry("app/a", ("app/*",), "over", until=dt.date(2020, 1, 1)),
        Entry("app/b", ("*/*",), "nobody"),
        Entry("app/a", ("app/x",), "other verb", verbs=("list",)),
    ]).entries  # fmt: skip
    uses = [Use(Account("app", "a"), Scope("app", "x"), "get", AT, AT, 1)]
    found = expected_findings(entries, uses, AT, since=AT)
    assert [finding.what.removeprefix("expected reader ").split(" a read")[0] for finding in found] == [
        "2 (app/a: app/*) ended on 2020-01-01",
        "3 (app/b: */*) never matched",
        "4 (app/a: app/x) never matched",
    ]
    out = io.StringIO()
    assert not show_group("expected readers", found, out)
    assert out.getvalue().startswith("expected readers: 3 to look at\n  - expected reader 2")
    assert show_group("expected readers", [], out)


def test_the_doctor_with_a_bad_file(tmp_path: Path) -> None:
    """A file that cannot be read is one line, before any server is asked."""
    bad = tmp_path / "expected.yaml"
    bad.write_text("expected: 1")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("web.cli.configure", lambda *_: None)
        patched.delenv("PROTECTOR_EXPECTED", raising=False)
        broken = CliRunner().invoke(cli, ["doctor", "--expected", str(bad)])
    assert broken.exit_code == 2
    assert f"{bad}: a document with one list" in broken.stderr
    assert broken.stdout == ""
