"""The protector command as a user runs it: data on stdout alone, the rest on stderr, and the exit codes of the contract."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from serve_process import ServeProcess, clean_environment, protector, until
from small_cluster import Acts, batch, changed, small_cluster

from web.cli import cli
from web.replay import run_replay

pytestmark = pytest.mark.slow

CLUSTER = small_cluster()
RECORDED = Path(__file__).parents[2].parent / "shared" / "data" / "apiserver"
QUERIES = (
    {"account": "app/reader", "verb": "get", "namespace": "app", "name": "db-creds"},
    {"account": "app/reader", "verb": "get", "namespace": "app", "name": "smtp"},
    {"account": "app/lister", "verb": "list", "namespace": "app", "name": None},
    {"account": "app/lister", "verb": "list", "namespace": None, "name": None},
    {"account": "ops/wide", "verb": "watch", "namespace": None, "name": None},
)
ALLOWED = [True, False, True, False, True]
AS_PROCESSES = ("version", "replay json", "replay bad cluster", "access queries", "chains table", "no command")
"""The commands that are run as a user runs them; the others in this process."""
Done = subprocess.CompletedProcess[bytes]


class Folder:
    """A cluster file, two audit logs (plain and gzipped), a quiet one, and questions."""

    def __init__(self, path: Path) -> None:
        acts, at = Acts(CLUSTER), time.time() - 3600
        events = [
            acts.read("Deployment/app/web", "get", "app/db-creds", at, by="RoleBinding/app/reader-get"),
            acts.read("Deployment/app/audit", "list", "app/*", at + 1),
            acts.read("Deployment/app/web", "get", "app/smtp", at + 2, code=403),
            acts.read("Deployment/app/web", "update", "app/db-creds", at + 3),
        ]
        lines = [json.dumps({"kind": "Event", "apiVersion": "audit.k8s.io/v1"} | changed(event)) for event in events]
        files = {
            "cluster": CLUSTER.text().encode(),
            "log": "\n".join(lines).encode(),
            "log.gz": gzip.compress("\n".join(lines).encode()),
            "quiet": "\n".join(lines[2:]).encode(),
            "list": batch(*events),
            "queries": "".join(json.dumps(query) + "\n" for query in QUERIES).encode(),
            "bad-queries": b'{"account":"app/reader"\n',
            "ca.crt": b"-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n",
            "token": b"webhook-token-1\n",
            "broken": b'{"kind":"List","items":[{',
        }
        for name, content in files.items():
            (path / name).write_bytes(content)
        self.path = path

    def of(self, name: str) -> str:
        return str(self.path / name)


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """A running server that has taken one read."""
    with ServeProcess(tmp_path_factory.mktemp("commands") / "serve", CLUSTER.text()) as serve:
        serve.take(batch(Acts(CLUSTER).read("Deployment/app/web", "get", "app/db-creds", time.time() - 1)))
        until(lambda: serve.lit_workloads() == {"web"}, "the chain is lit")
        yield serve


@pytest.fixture(scope="module")
def done(serve: ServeProcess, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """Every command of these tests, run to its end."""
    folder = Folder(tmp_path_factory.mktemp("files"))
    f, server = folder.of, ("--server", f"http://127.0.0.1:{serve.dashboard_port}")
    cluster = ("--cluster", f("cluster"))
    hook = ("webhook-config", "--server", "https://audit.example:9443/audit")
    asked: dict[str, tuple[str, ...]] = {
        "version": ("version",),
        "replay json": ("replay", f("log"), *cluster, "--output", "json"),
        "replay gz": ("replay", f("log.gz"), *cluster, "--output", "json"),
        "replay list": ("replay", f("list"), *cluster, "--output", "json"),
        "replay jsonl": ("replay", f("log"), *cluster, "--output", "jsonl"),
        "replay table": ("replay", f("log"), *cluster),
        "replay quiet": ("replay", f("quiet"), *cluster),
        "replay no log": ("replay", f("nothing"), *cluster),
        "replay no cluster": ("replay", f("log")),
        "replay bad cluster": ("replay", f("log"), "--cluster", f("broken")),
        "access account": ("access", *cluster, "--account", "app/reader"),
        "access secret": ("access", *cluster, "--secret", "app/smtp"),
        "access queries": ("access", *cluster, "--queries", f("queries")),
        "access escalations": ("access", *cluster, "--escalations"),
        "access escalations of a secret": ("access", *cluster, "--escalations", "--secret", "app/smtp"),
        "access bad account": ("access", *cluster, "--account", "reader"),
        "access bad secret": ("access", *cluster, "--secret", "smtp"),
        "access bad queries": ("access", *cluster, "--queries", f("bad-queries")),
        "access two": ("access", *cluster, "--account", "app/reader", "--secret", "app/smtp"),
        "chains table": ("chains", *server),
        "chains json": ("chains", *server, "--all", "--output", "json"),
        "chains nobody": ("chains", "--server", "http://127.0.0.1:1"),
        "actors table": ("actors", *server),
        "actors json": ("actors", *server, "--output", "json"),
        "audit-policy": ("audit-policy",),
        "webhook-config": (*hook, "--ca", f("ca.crt"), "--token-file", f("token"), "--tls-server-name", "localhost"),
        "webhook-config http": (
            "webhook-config",
            "--server",
            "http://x/",
            "--ca",
            f("ca.crt"),
            "--token-file",
            f("token"),
        ),
        "no command": ("watch-out",),
    }
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        ended = threads.map(lambda name: protector(*asked[name]), AS_PROCESSES)
        as_processes = dict(zip(AS_PROCESSES, ended, strict=True))
    return {name: as_processes.get(name) or protector_here(*arguments) for name, arguments in asked.items()}


def protector_here(*arguments: str) -> Done:
    """Runs the command in this process, which costs no start; the log of this process is left alone."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("web.cli.configure", lambda *_: None)
        ended = CliRunner().invoke(cli, arguments)
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return Done(arguments, ended.exit_code, ended.stdout_bytes, ended.stderr_bytes)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        # fine, and nothing found
        *((name, 0) for name in ("version", "audit-policy", "webhook-config", "actors table", "actors json")),
        *(
            (name, 0)
            for name in ("replay quiet", "access account", "access secret", "access queries", "access escalations")
        ),
        # a chain is corroborated
        *((name, 1) for name in ("replay json", "replay gz", "replay list", "replay jsonl", "replay table")),
        *((name, 1) for name in ("chains table", "chains json")),
        # usage, or a file or server that cannot be used
        *((name, 2) for name in ("replay no log", "replay no cluster", "replay bad cluster", "no command")),
        *(
            (name, 2)
            for name in (
                "access bad account",
                "access bad secret",
                "access bad queries",
                "access two",
                "access escalations of a secret",
            )
        ),
        *((name, 2) for name in ("chains nobody", "webhook-config http")),
    ],
)
def test_exit_codes_and_where_it_is_said(done: dict[str, Done], name: str, code: int) -> None:
    """0 fine, 1 findings, 2 usage; what is wrong is on stderr, data on stdout and nothing else there; no traceback, no colour."""
    ended = done[name]
    said = (ended.returncode, bool(ended.stdout), bool(ended.stderr))
    assert said == (code, code != 2, code == 2), (ended.stdout[-300:], ended.stderr[-300:])
    assert b"Traceback" not in ended.stderr
    assert b"\x1b" not in ended.stdout + ended.stderr


def test_the_version_is_that_of_the_distribution(done: dict[str, Done]) -> None:
    """One line."""
    assert done["version"].stdout.decode() == f"protector {version('kube-protector')}\n"


@pytest.mark.parametrize("name", ["replay json", "replay gz", "replay list"])
def test_replay_as_json_has_the_shape_of_the_contract(done: dict[str, Done], name: str) -> None:
    """Totals, and every chain, corroborated if it was at any time in the log; JSON lines, gzip and a whole EventList alike."""
    found = json.loads(done[name].stdout)
    assert set(found) == {"events", "reads", "dropped", "chains", "evidence"}
    assert (found["events"], found["reads"], found["dropped"]) == (4, 2, {"denied": 1, "not_a_read": 1})
    lit = {
        (c["entry"]["name"], c["objective"]["name"], c["corroboration"]) for c in found["chains"] if c["corroborated"]
    }
    assert lit == {("web", "db-creds", "proven"), ("audit", None, "possible")}
    assert len(found["chains"]) > len(lit)


def test_replay_as_json_lines_has_what_was_lit_and_seen(done: dict[str, Done]) -> None:
    """One object a line, named by its kind."""
    lines = [json.loads(line) for line in done["replay jsonl"].stdout.splitlines()]
    assert sorted(kind for line in lines for kind in line) == ["chain", "chain", "evidence", "evidence"]


def test_replay_as_a_table_says_the_totals(done: dict[str, Done]) -> None:
    """For people: totals, then the corroborated chains."""
    text = done["replay table"].stdout.decode()
    assert text.startswith("4 events, 2 reads; dropped: denied 1, not_a_read 1\n2 of ")
    assert "Deployment/app/web" in text


def test_access_answers_each_question(done: dict[str, Done]) -> None:
    """By account, by Secret, and queries in their order with the grants that allow."""
    account, secret = done["access account"].stdout.decode(), done["access secret"].stdout.decode()
    assert ("db-creds" in account, "reader-get" in account, "wide-all" in account) == (True, True, False)
    assert [name in secret for name in ("app/lister", "ops/wide", "app/shared", "app/reader ")] == [
        True,
        True,
        True,
        False,
    ]
    answers = [json.loads(line) for line in done["access queries"].stdout.splitlines()]
    assert [answer["allowed"] for answer in answers] == ALLOWED
    assert answers[0]["grants"] == [
        {
            "binding": {"kind": "RoleBinding", "namespace": "app", "name": "reader-get"},
            "role": {"kind": "Role", "namespace": "app", "name": "reader-get"},
        }
    ]
    assert answers[1]["grants"] == []


def test_what_is_wrong_names_what_to_mend(done: dict[str, Done]) -> None:
    """The option, the file or the address, in one line of our own."""
    named = {
        "access bad account": "--account",
        "access bad secret": "--secret",
        "access bad queries": "--queries",
        "replay bad cluster": "broken",
        "chains nobody": "http://127.0.0.1:1",
        "webhook-config http": "https",
    }
    for name, what in named.items():
        lines = done[name].stderr.decode().splitlines()
        assert (len(lines), lines[0].startswith("protector: "), what in lines[0]) == (1, True, True), (name, lines)


def test_chains_and_actors_tell_what_the_server_says(done: dict[str, Done]) -> None:
    """The corroborated chain in the table, all of them as JSON; the tree of actors with the account's own."""
    table = done["chains table"].stdout.decode().splitlines()
    assert len(table) == 2
    assert "Deployment/app/web" in table[1]
    assert {chain["corroborated"] for chain in json.loads(done["chains json"].stdout)} == {True, False}
    assert "/protector/pipeline/accounts/app.reader" in done["actors table"].stdout.decode()
    assert [node["path"] for node in json.loads(done["actors json"].stdout)] == ["/protector"]


def test_the_two_files_for_an_api_server_are_yaml(done: dict[str, Done]) -> None:
    """A policy whose first rule keeps values out of the log, and a kubeconfig with CA, token and name inside."""
    policy = yaml.safe_load(done["audit-policy"].stdout)
    assert (policy["kind"], policy["rules"][0]["level"]) == ("Policy", "Metadata")
    config = yaml.safe_load(done["webhook-config"].stdout)
    cluster: dict[str, Any] = config["clusters"][0]["cluster"]
    assert (cluster["server"], cluster["tls-server-name"]) == ("https://audit.example:9443/audit", "localhost")
    assert b"BEGIN CERTIFICATE" in base64.b64decode(cluster["certificate-authority-data"])
    assert config["users"][0]["user"] == {"token": "webhook-token-1"}


def stderr_on_a_terminal(*arguments: str, **environment: str) -> bytes:
    """What the command says on stderr when that is a terminal."""
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "web.cli", *arguments]
    settings = {name: value for name, value in clean_environment(**environment).items() if value}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal, env=settings) as process:
        os.close(terminal)
        said = b""
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while part := os.read(master, 65536):
                said += part
        process.wait(30)
    os.close(master)
    return said


@pytest.mark.parametrize(("no_color", "is_coloured"), [("1", False), ("", True)])
def test_no_color_is_honoured(tmp_path: Path, no_color: str, is_coloured: bool) -> None:
    """On a terminal a warning has colours, and none where NO_COLOR is set."""
    folder = Folder(tmp_path)
    (tmp_path / "cut").write_bytes(b'{"kind":"EventList","items":[{"ver')
    said = stderr_on_a_terminal("replay", folder.of("cut"), "--cluster", folder.of("cluster"), NO_COLOR=no_color)
    assert (b"part of a log" in said, b"\x1b[" in said) == (True, is_coloured)


# --- a real API server's recording -----------------------------------------------------------------------------------------


def is_plainly_a_read(item: dict[str, Any]) -> bool:
    """The rule in its shortest form, apart from the project's: an allowed, answered read of a core Secret by an account itself."""
    ref, status = item.get("objectRef") or {}, item.get("responseStatus") or {}
    stages = ("ResponseStarted", "ResponseComplete") if item["verb"] == "watch" else ("ResponseComplete",)
    return (
        item["verb"] in ("get", "list", "watch")
        and ref.get("resource") == "secrets"
        and not ref.get("apiGroup")
        and not ref.get("subresource")
        and item["stage"] in stages
        and "impersonatedUser" not in item
        and item["user"].get("username", "").startswith("system:serviceaccount:")
        and (item.get("annotations") or {}).get("authorization.k8s.io/decision") == "allow"
        and 200 <= status.get("code", 200) < 300
        and status.get("message") != "Connection closed early"
    )


@pytest.mark.parametrize("phase", ["secrets", "everything"])
def test_a_real_audit_log_is_replayed_whole(phase: str) -> None:
    """Every event is a read or dropped under a reason; the reads are those that the rule's shortest form finds."""
    log = RECORDED / f"audit-{phase}.log.gz"
    if not log.exists():
        pytest.skip(f"the recordings are not here: {RECORDED}")
    items = [json.loads(line) for line in gzip.decompress(log.read_bytes()).splitlines()]
    clusters = [f"--cluster={RECORDED / f'cluster-{name}.json'}" for name in ("before", "between", "after")]
    found = json.loads(protector("replay", str(log), *clusters, "--output", "json").stdout)
    assert found["events"] == len(items)
    assert found["reads"] == sum(map(is_plainly_a_read, items))
    assert found["events"] == found["reads"] + sum(found["dropped"].values())
    assert {piece["explained"] for piece in found["evidence"] if "impersonated" not in piece["signals"]} == {True}


LINE = (
    b'{"kind":"Event","apiVersion":"audit.k8s.io/v1","verb":"get","stage":"ResponseComplete",'
    b'"user":{"username":"system:serviceaccount:app:reader-sa"},"requestReceivedTimestamp":"2026-11-24T23:26:03Z",'
    b'"objectRef":{"resource":"secrets","namespace":"app","name":"db-creds"},'
    b'"annotations":{"authorization.k8s.io/decision":"allow"},"userAgent":"' + b"x" * 1_200 + b'"}'
)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(("bad", "at"), [(b"garbage", 1), (LINE[:200], 0), (b"garbage", 0), (LINE[:200], 480)])
def test_a_bad_line_of_a_log_costs_itself(tmp_path: Path, mark: bytes, bad: bytes, at: int) -> None:
    """Wherever it stands in a log that is longer than one part: 499 reads and one malformed."""
    lines = [LINE] * 499
    lines.insert(at, bad)
    (tmp_path / "log").write_bytes(mark + b"\n".join(lines) + b"\n")
    result = run_replay([tmp_path / "log"], [])
    assert (result.events, result.reads, result.dropped) == (500, 499, {"malformed": 1})


@pytest.mark.parametrize("indent", [None, 2])
def test_a_log_that_is_one_list_is_replayed_whole(tmp_path: Path, indent: int | None) -> None:
    """Also one written over many lines, and longer than one part."""
    document = {"kind": "EventList", "items": [json.loads(LINE)] * 600 + [{"verb": 7}]}
    (tmp_path / "log").write_text(json.dumps(document, indent=indent))
    result = run_replay([tmp_path / "log"], [])
    assert (result.events, result.reads, result.dropped) == (601, 600, {"malformed": 1})
