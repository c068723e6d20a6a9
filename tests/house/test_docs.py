"""The documentation says what the code does, wherever a test can tell."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
import trio
import web_stand_ins as w
import yaml
from prometheus_client.parser import text_string_to_metric_families
from trio_run import run

from actors.behaviors import ActsStatistics
from actors.cluster.model import ClusterModel
from actors.config import SETTINGS
from actors.engine.ended import EndedRing
from actors.parser import Drop
from actors.store import MemoryJournal, StoreStatusQuery
from actors.store.journal import JournalStatistics
from actors.tree import Parts, pipeline
from web.cli import cli
from web.credentials import Tokens
from web.gate import Access
from web.guard import Guard
from web.ingest import IngestStatistics
from web.lag import LoopLag
from web.listener import Listener
from web.metrics import Metrics
from web.replay import run_replay

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
COMMANDS: dict[str, click.Command] = dict(cli.commands)
FLAGS = {"audit-policy-file", "audit-webhook-config-file", "audit-webhook-batch-max-wait"}


def test_every_setting_is_described_with_its_words() -> None:
    """docs/reference/settings.md has one row for each setting, with the text that --help shows, and no other."""
    rows = [
        line for line in (DOCS / "reference/settings.md").read_text().splitlines() if line.startswith("| `PROTECTOR_")
    ]
    assert [(r.split("`")[1], r.split("|")[4].strip()) for r in rows] == [
        (s.variable, s.help.replace("|", " or ")) for s in SETTINGS
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """No page points to a file that is not there."""
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    """A claim that leans on a test leans on one that is there; `::name` alone is of the file named before it."""
    file = None
    for path, name in re.findall(r"`(tests/[\w/]+(?:\.py)?)?(?:::(test_\w+))?`", page.read_text()):
        file = ROOT / path if path else file
        if file is None or not (path or name):
            continue
        assert file.exists(), path
        assert not name or f"def {name}(" in file.read_text(), name


# --- the command line -----------------------------------------------------------------------------------------------


def _section(page: str, command: str) -> str:
    """What the page says of one command: from its heading to the next."""
    found = re.search(rf"^## protector {re.escape(command)}( FILE…)?\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found is not None, f"no section about {command}"
    return found[2]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_and_option_is_described(command: str) -> None:
    """docs/reference/command-line.md has a section for each command, with each of its options and no other."""
    section = _section((DOCS / "reference/command-line.md").read_text(), command)
    wanted = {option for parameter in COMMANDS[command].params for option in parameter.opts if option.startswith("--")}
    told = set(re.findall(r"`(--[a-z][a-z-]*)`", section)) - {f"--{flag}" for flag in FLAGS}
    assert told == wanted


def test_no_command_is_described_that_is_not_there() -> None:
    """Every section is of a command."""
    page = (DOCS / "reference/command-line.md").read_text()
    assert sorted(re.findall(r"^## protector ([a-z-]+)", page, re.MULTILINE)) == sorted(COMMANDS)


# --- metrics and drop reasons ---------------------------------------------------------------------------------------


def _exposition() -> set[str]:
    """The names of all samples, as `serve` tells them: with statistics of real listeners."""

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        """Never called."""

    async def text() -> str:
        guard = Guard(Tokens(inline="x", listener="audit", setting="X"), rate_per_s=1, burst=1, max_body_bytes=1)
        guard.admit([b"Bearer x"], "", 0.0)
        zeros = {name: 0 for name in IngestStatistics.__struct_fields__ if name != "answers"}
        records = (Listener("audit", app).statistics(), guard.statistics(), IngestStatistics(answers={200: 1}, **zeros))
        journal = JournalStatistics("sqlite", 0, 0, None, records=0, rows=0, bytes=0)
        store = w.Ref({StoreStatusQuery: w.store_status(journal=journal)})
        listeners = {"audit": records}
        sources = w.made_up(
            store=store, listeners=lambda: listeners, lag=LoopLag().statistics, acts=_reported, heartbeat=w.beating()
        )
        return (await Metrics(sources, Access().statistics).text()).decode()

    families = text_string_to_metric_families(run(text))
    return {sample.name for family in families for sample in family.samples}


def _reported() -> ActsStatistics:
    """Of a window that took and dropped something."""
    return ActsStatistics(
        acts=1,
        capacity=2,
        taken=1,
        new=1,
        evicted=0,
        dropped={"late": 1},
        taken_by_kind={"alert": 1},
        bodies=1,
        unusable=0,
    )


def test_every_metric_is_described() -> None:
    """docs/reference/metrics.md names each sample of the exposition, and no other."""
    page = (DOCS / "reference/metrics.md").read_text()
    assert set(re.findall(r"`(protector_[a-z0-9_]+)(?:\{[a-z]+\})?`", page)) == _exposition()


def test_every_drop_reason_is_explained() -> None:
    """docs/troubleshooting.md has each reason in its table, and no other."""
    table = re.search(r"\| reason \|.*?\n\n", (DOCS / "troubleshooting.md").read_text(), re.DOTALL)
    assert table is not None
    rows = [line.split("|")[1] for line in table[0].splitlines()[2:] if line]
    assert sorted(reason for row in rows for reason in re.findall(r"`(\w+)`", row)) == sorted(d.value for d in Drop)


# --- architecture -----------------------------------------------------------------------------------------------------


class _Places:
    """As much of a System as the specification of the pipeline needs."""

    name = "protector"

    def ref(self, path: str) -> str:
        """The path stands for the ref."""
        return path

    dynamic = ref


def test_the_supervision_tree_is_the_one_that_runs() -> None:
    """The diagram names the children of the pipeline and of the edge, in the order in which they start, with their bounds."""

    async def write(_line: str) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    parts = Parts(MemoryJournal(), ClusterModel(ttl_s=300.0), (), EndedRing(), write)
    places: Any = _Places()
    spec = pipeline(places, parts)
    page = (DOCS / "explanation/architecture.md").read_text()
    tree = re.search(r"```\n(/protector .*?)```", page, re.DOTALL)
    assert tree is not None
    names = re.findall(r"^[│├└─ ]*[├└]── ([a-z-]+) ", tree[1] + " ", re.MULTILINE)
    edge = re.findall(r"[├└]── ([a-z]+)", tree[1].partition("edge")[2])
    assert names[: len(spec.children) + 2] == ["pipeline", *(child.name for child in spec.children), "edge"]
    assert edge == ["dashboard", "audit", "behavior"]
    assert f"at most {spec.intensity.max} restarts in {spec.intensity.within_s:g} s" in tree[1]


# --- how-to and tutorial ------------------------------------------------------------------------------------------------


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def test_the_yaml_of_the_how_to_is_yaml_and_names_the_flags() -> None:
    """kubeadm, kind, RKE2 and k3s: each snippet can be read, and holds all three flags; the one inside kind's too."""
    snippets = _blocks(DOCS / "how-to/point-an-api-server.md", "yaml")
    kubeadm, kind, rke2, k3s = (yaml.safe_load(snippet) for snippet in snippets)
    patch = yaml.safe_load(kind["nodes"][0]["kubeadmConfigPatches"][0])
    found = {
        "kubeadm": {
            flag.removeprefix("--").partition("=")[0] for flag in kubeadm["spec"]["containers"][0]["command"][1:]
        },
        "kind": set(patch["apiServer"]["extraArgs"]),
        "rke2": {flag.partition("=")[0] for flag in rke2["kube-apiserver-arg"]},
        "k3s": {flag.partition("=")[0] for flag in k3s["kube-apiserver-arg"]},
    }
    assert found == {"kubeadm": FLAGS, "kind": FLAGS, "rke2": FLAGS, "k3s": FLAGS}


def test_the_tutorials_event_lights_the_tutorials_chain(tmp_path: Path) -> None:
    """The two files that the tutorial has made by hand, as they stand there: one chain, and it is proven."""
    files = dict(
        re.findall(r"^cat > (\S+) <<'?END'?\n(.*?)^END$", (DOCS / "tutorial.md").read_text(), re.MULTILINE | re.DOTALL)
    )
    event = files["event.json"].replace("$NOW", "2026-01-01T00:00:00.000000Z")
    (tmp_path / "cluster.yaml").write_text(files["cluster.yaml"])
    (tmp_path / "event.json").write_text(event)
    result = run_replay([tmp_path / "event.json"], [tmp_path / "cluster.yaml"])
    assert [(c.entry.name, c.objective.name, c.corroboration) for c in result.chains] == [
        ("web-0", "db-creds", "proven")
    ]


def test_the_readme_shows_what_is_there() -> None:
    """Its pictures are PNG files of less than 300 kB, and its two commands exist."""
    for picture in ("chains.png", "actors.png"):
        data = (DOCS / "images" / picture).read_bytes()
        assert data.startswith(b"\x89PNG"), picture
        assert len(data) < 300_000, picture
    assert all((ROOT / script).stat().st_mode & 0o100 for script in ("scripts/demo", "scripts/test"))
