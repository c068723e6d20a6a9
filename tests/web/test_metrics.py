"""The exposition: names, labels that nobody outside chooses, parts that do not answer, and its cache."""

from __future__ import annotations

import msgspec
import pytest
import web_stand_ins as w
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families
from trio_run import run

from actors.engine.queries import EngineStatusQuery
from actors.runtime import AskTimeout
from actors.store import StoreStatusQuery
from web.gate import Access
from web.metrics import Metrics
from web.sources import Sources


def scrape(sources: Sources) -> dict[tuple[str, tuple[str, ...]], float]:
    """Samples by (name, label values)."""
    text = run(Metrics(sources, Access().statistics).text).decode()
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("protector_reads_total", (), 911),
        ("protector_batches_total", (), 812),
        ("protector_dropped_total", ("not_secrets",), 44019),
        ("protector_observations", (), 77),
        ("protector_feed_last_batch_timestamp_seconds", (), w.NOW - 3),
        ("protector_feed_live", (), 1),
        ("protector_chains_corroborated", (), 2),
        ("protector_cluster_objects", ("Pod",), 212),
        ("protector_mailbox_depth", ("/protector/pipeline/store",), 130),
        ("protector_actor_restarts_total", ("/protector/pipeline/cluster",), 2),
        ("protector_up", ("engine",), 1),
        ("protector_store_pending_batches", ("actor",), 0),
        ("protector_store_commits_total", ("journal",), 0),
        ("protector_event_streams", (), 0),
        ("protector_viewer_token_failures_total", (), 0),
    ],
)
def test_samples(name, labels, expected):
    """Each number is told under its conventional name."""
    assert scrape(w.made_up())[name, labels] == expected


def test_actors_by_key_are_put_together():
    """Actors of accounts are one series with the fullest of them, and none of their names is there."""
    full = msgspec.structs.replace(w.node("/x").mailbox, depth=7)
    base = "/protector/pipeline/accounts"
    by_key = (w.node(f"{base}/app.a", mailbox=full), w.node(f"{base}/app.b"))
    accounts = w.node(base, by_key, actor="DynamicSupervisor")
    found = scrape(w.made_up(system=w.Tree(w.node("/protector", (accounts,)))))
    assert found["protector_mailbox_depth", (f"{base}/*",)] == 7
    assert found["protector_actors", (f"{base}/*",)] == 2
    assert not any("app." in label for _, labels in found for label in labels)


def test_no_name_of_the_cluster():
    """Whatever namespaces, Secrets, accounts and kinds are called, no name of theirs is told."""
    sources = w.made_up(system=w.Tree(w.tree(("canary-ns.canary-sa",))), cluster_name="canary-cluster")
    text = run(Metrics(sources).text).decode()
    assert not [word for word in ("canary", "reader-sa", "db-creds", "10.0.0.5", "vault") if word in text]


def test_odd_labels_are_put_together():
    """A reason that is no plain word is counted under "other"."""
    counts = msgspec.structs.replace(w.store_status().counts, dropped={"a b\n": 1, 'x"}': 2, "not_allowed": 3})
    found = scrape(w.made_up(store=w.Ref({StoreStatusQuery: w.store_status(counts=counts)})))
    reasons = {labels: value for (name, labels), value in found.items() if name == "protector_dropped_total"}
    assert reasons == {("other",): 3, ("not_allowed",): 3}


def test_part_that_does_not_answer():
    """Without the engine the rest is still told, and that it did not answer."""
    sources = w.made_up()
    sources.engine.answers[EngineStatusQuery] = AskTimeout("x")
    found = scrape(sources)
    assert (found["protector_up", ("engine",)], found["protector_up", ("store",)]) == (0, 1)
    assert ("protector_chains", ()) not in found
    assert found["protector_reads_total", ()] == 911


def test_no_batch_yet():
    """Without a batch there is no time of the last one, and the feed is not live."""
    found = scrape(w.made_up(store=w.Ref({StoreStatusQuery: w.store_status(None)})))
    assert ("protector_feed_last_batch_timestamp_seconds", ()) not in found
    assert found["protector_feed_live", ()] == 0


class Served(Struct, frozen=True):
    """A listener's statistics."""

    name: str
    connections: int
    connections_total: int
    handshake_failures: int


def test_listeners_are_told_by_name():
    """Numbers of the listeners are metrics of their own; what falls is a gauge, what only rises a counter."""
    sources = w.made_up(listeners=lambda: {"audit": (Served("audit", 3, 40, 1),), "behavior": (Served("b", 0, 2, 0),)})
    found = scrape(sources)
    assert found["protector_listener_connections", ("audit",)] == 3
    assert found["protector_listener_connections_served_total", ("audit",)] == 40
    assert found["protector_listener_handshake_failures_total", ("behavior",)] == 0


def test_answer_is_kept_for_a_second():
    """Two scrapes within a second cost one; the next second asks again."""

    async def main() -> list[int]:
        sources = w.made_up()
        metrics, asked = Metrics(sources), []
        for at in (w.NOW, w.NOW + 0.5, w.NOW + 1.0):
            sources.clock.at = at
            await metrics.text()
            asked.append(len(sources.store.asked))
        return asked

    assert run(main) == [1, 1, 2]
