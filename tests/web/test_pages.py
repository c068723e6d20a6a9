"""The pages: honest states, hostile text, filters in links, reading only, no part takes a page with it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import pytest
import web_stand_ins as w
from trio_run import run

from actors.cluster.live.heartbeat import HeartbeatState
from actors.engine.queries import ChainsQuery
from actors.runtime import AskTimeout
from actors.store import StoreStatusQuery
from web.dashboard import make_dashboard
from web.gate import Access
from web.sources import Sources

PATHS = (
    "/",
    "/chains/c1",
    "/chains/c2",
    "/chains/c3",
    "/chains/c4",
    "/escalations",
    "/escalations?edge=exec",
    "/evidence",
    "/actors",
    "/actors/protector/pipeline/store",
    "/actors/-/crashes",
    "/actors/-/letters",
)


def get(
    path: str, sources: Sources | None = None, method: str = "GET", **headers: str
) -> tuple[int, str, dict[str, str]]:
    """(status, text, headers) of one request."""

    async def main() -> tuple[int, str, dict[str, str]]:
        client = make_dashboard(sources or w.made_up(), Access()).test_client()
        answer = await client.open(path, method=method, headers={"Host": "localhost", **headers})
        lower = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status_code, (await answer.get_data()).decode(), lower

    return run(main)


def words(page: str) -> str:
    """The page's text, without tags, with single spaces."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


class Checker(HTMLParser):
    """Collects what of the markup breaks the content policy or the outline."""

    VOID = frozenset({"meta", "link", "input", "br", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.ids: list[str] = []
        self.tables: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given_attrs = dict(attrs)
        self.faults += [f"{tag} {name}" for name in given_attrs if name == "style" or name.startswith("on")]
        if tag in ("script", "link", "img") and not (
            given_attrs.get("src") or given_attrs.get("href") or ""
        ).startswith("/"):
            self.faults.append(f"{tag} from elsewhere")
        if given_attrs.get("id"):
            self.ids.append(given_attrs["id"] or "")
        if tag == "table":
            self.tables.append(False)
        if tag == "caption":
            self.tables[-1] = True
        if tag not in self.VOID and tag not in ("path", "circle", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag in ("path", "circle", "rect"):
            return
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes something else")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style") and data.strip():
            self.faults.append("inline script or style")


@pytest.mark.parametrize("path", PATHS)
def test_pages_are_whole(path):
    """Every page is answered, balanced, without inline script or style, with captions, one h1, and a skip link."""
    status, page, _ = get(path)
    checker = Checker()
    checker.feed(page)
    assert status == 200
    assert checker.faults == []
    assert checker.open == []
    assert len(set(checker.ids)) == len(checker.ids)
    assert all(checker.tables)
    assert page.count("<h1") == 1
    assert '<a class="skip" href="#main">' in page
    assert "/static/theme.js" in page.split('<link rel="stylesheet"')[0], "the theme is set before the style comes"


def test_first_glance():
    """The first page answers: alive, keeping up against bounds, worst open chain."""
    text = words(get("/")[1])
    assert "last batch 3 s ago" in text
    assert "store 130 of 1 000" in text
    assert "77 of 100 000" in text
    assert "Worst open chain proven now app/web → app/db-creds" in text
    assert "2 restarts" in text


def test_states_are_words():
    """Each state of a chain is a word beside its shape."""
    text = words(get("/")[1])
    assert all(state in text for state in ("proven now", "possible now", "not corroborated", "every Secret", "mounted"))


@pytest.mark.parametrize(
    ("last_batch_at", "expected", "unexpected"),
    [
        (w.NOW - 3, "none in the window", "no audit events"),
        (w.NOW - 1900, "no audit events since 07:28:20 UTC (31 min 40 s ago)", "none in the window"),
        (None, "No audit events have ever arrived.", "none in the window"),
    ],
)
def test_unknown_is_not_quiet(last_batch_at, expected, unexpected):
    """A chain is only called not corroborated while audit events arrive; otherwise it is unknown, and since when."""
    sources = w.made_up(store=w.Ref({StoreStatusQuery: w.store_status(last_batch_at)}))
    text = words(get("/", sources)[1])
    rows = text.split("Last evidence", 1)[1].split("the API server named this grant", 1)[0]
    assert expected in text.replace("( ", "(").replace(" )", ")")
    assert unexpected not in rows
    assert ("not corroborated" in rows) == (last_batch_at == w.NOW - 3)


@pytest.mark.parametrize(
    ("changes", "query", "expected"),
    [
        ({}, "?namespace=none", "No chain matches"),
        ({}, "", "No workload can read a Secret"),
    ],
)
def test_empty_list_says_why(changes, query, expected):
    """An empty list gives its reason and where to go."""
    assert expected in get(f"/{query}", w.made_up([], [], **changes))[1]


def test_empty_without_a_cluster_says_what_to_do():
    """With no object known the page names the setting and the command that checks it."""
    from actors.cluster.queries import ClusterStatusQuery

    sources = w.made_up([], [], cluster=w.Ref({ClusterStatusQuery: w.cluster_status({})}))
    page = get("/", sources)[1]
    assert "PROTECTOR_CLUSTER" in page
    assert "protector doctor" in page


@pytest.mark.parametrize("path", ["/", "/chains/c1", "/evidence"])
def test_engine_does_not_answer(path):
    """Without the engine a page still comes, says so with a hint, and keeps what the others tell."""
    sources = w.made_up()
    sources.engine.answers = dict.fromkeys(sources.engine.answers, AskTimeout("x"))
    status, page, headers = get(path, sources)
    assert (status, headers["retry-after"]) == (503, "2")
    assert words(page).count("The engine did not answer") == 1
    if path == "/":
        assert "last batch 3 s ago" in words(page)


def test_store_does_not_answer():
    """Without the store nothing is claimed of what is not lit."""
    sources = w.made_up(store=w.Ref({StoreStatusQuery: AskTimeout("x")}))
    text = words(get("/", sources)[1])
    assert "The store did not answer" in text
    assert "none in the window" not in text


BAD = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\x1b[31m\nforged: line \u202egnp.exe"


def hostile() -> Sources:
    """Hostile text wherever a client, or who names objects, can put it."""
    seen = [
        w.evidence(user_agent=BAD, source_ip=BAD, audit_id=BAD, credential_id=BAD, pods=[BAD], secret=BAD, chains=[BAD])
    ]
    entry = w.EntryView("Deployment", BAD, BAD, "internet", BAD, [BAD], False)
    found = [w.chain("c1", entry=entry, objective=w.NameView(BAD, BAD), evidence=seen), w.chain("c2", evidence=seen)]
    return w.made_up(found, seen, system=w.Tree(w.tree((BAD,))), cluster_name=BAD)


@pytest.mark.parametrize(
    "path", ["/", "/chains/c1", "/evidence", "/actors", "/?namespace=%3Cscript%3Ealert(1)", "/nothing%0a%1b[31m"]
)
def test_hostile_text_is_text(path):
    """Markup is escaped and control characters are visible escapes, in every place of every page."""
    _, page, _ = get(path, hostile())
    checker = Checker()
    checker.feed(page)
    assert checker.faults == []
    assert "<script>alert(1)" not in page
    assert "<img" not in page
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e]", page)
    assert "\nforged" not in page


def test_filters_live_in_links():
    """Chips and signals are links that filter, and active filters can be taken away one by one."""
    page = get("/?exposure=internet&namespace=app")[1]
    assert 'href="/?account=vault%2Fagent"' in page
    assert 'href="/?signal=collection_read"' in page
    assert 'href="/?namespace=app" aria-label="Remove the filter exposure"' in page


def test_form_with_empty_fields():
    """The filter form as a browser sends it: empty fields are none."""
    sources = w.made_up()
    assert get("/?corroborated=&exposure=&signal=&namespace=app&account=&secret=", sources)[0] == 200
    assert sources.engine.asked[0] == ChainsQuery(namespace="app")


def test_bad_filter_is_named():
    """A filter that is not understood is a page with 400 that names it."""
    status, page, _ = get("/?exposure=public")
    assert status == 400
    assert "exposure" in page


def test_paging_links():
    """More than a page of chains gets a link to the next, with the filters; a later page one to the first."""
    sources = w.made_up([w.chain(f"c{n}") for n in range(150)])
    assert 'href="/?namespace=app&amp;cursor=100" rel="next"' in get("/?namespace=app", sources)[1]
    assert '<a href="/?namespace=app">First page</a>' in get("/?namespace=app&cursor=100", sources)[1]


def test_chain_says_why_and_what_to_cut():
    """The page of a chain walks the path, says why it is lit, and what to cut, in words."""
    text = words(get("/chains/c1")[1])
    assert "named RoleBinding app/read-db-creds as what allowed a live read" in text
    assert "Delete RoleBinding/app/read-db-creds, or take ServiceAccount app/reader-sa out of its subjects." in text
    assert re.search(r"Deployment.*runs as ServiceAccount.*bound by RoleBinding.*to Role.*Secret", text)
    assert "the request was made" in text or "this request was made and allowed, never that the value left" in text


def test_mounted_chain_has_no_grant():
    """A mounted chain is cut in the pod template."""
    assert "pod template" in get("/chains/c4")[1]


def test_unknown_chain_and_actor():
    """What is not there is 404 with words."""
    assert get("/chains/nope")[0] == 404
    assert get("/actors/protector/nobody")[0] == 404
    assert get("/nothing")[0] == 404


def test_actors_tree():
    """Actors with state, allowance, mailbox against its bound, and the last failure by type."""
    text = words(get("/actors")[1])
    assert "cluster ClusterActor, permanent running up 1 h 10 min · incarnation 3 2 of 5 in 30 s" in text
    assert "130 / 1 000" in text
    assert "WatchClosed from ReadError" in text


def test_many_accounts_are_folded():
    """Of thousands of actors started by key a few are shown, and how many there are is said."""
    sources = w.made_up(system=w.Tree(w.tree(tuple(f"app.sa-{n}" for n in range(3000)))))
    page = get("/actors", sources)[1]
    assert page.count('data-row="/protector/pipeline/accounts/') == 8
    assert "3\u2009010 actors; 2\u2009992 that were started by key are folded" in page


def test_account_with_slashless_hostile_path():
    """The page of an account's actor is found by its path without the leading slash."""
    assert get("/actors/protector/pipeline/accounts/app.reader-sa")[0] == 200


def test_only_reading():
    """Pages answer GET and HEAD, and nothing else."""
    assert [get("/", method=m)[0] for m in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS")] == [405] * 5
    status, body, _ = get("/", method="HEAD")
    assert (status, body) == (200, "")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (HeartbeatState.BLIND, "protector is blind"),
        (HeartbeatState.UNUSABLE, "cannot be proved"),
        (HeartbeatState.UNREACHABLE, "does not answer"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/chains/c1", "/evidence"])
def test_a_blind_feed_is_said_on_every_page(path, state, expected):
    """With what is known of it; an alive one needs no words."""
    said = words(get(path, w.made_up(heartbeat=w.beating(state, "4 requests are missing")))[1])
    assert expected in said
    assert "4 requests are missing" in said
    assert "4 requests" not in words(get(path, w.made_up(heartbeat=w.beating()))[1])


@pytest.mark.parametrize("path", ["/", "/?account=app%2Freader-sa", "/chains/c1"])
@pytest.mark.parametrize(("usable", "labels"), [(False, 1), (True, 0), (None, 0)])
def test_a_workload_without_a_token_is_labelled(path, usable, labels):
    """In the list, in that of its account, and on the chain's own page; not where no account is asked."""
    made = w.chain()
    made = w.chain(entry=msgspec.structs.replace(made.entry, usable_token=usable))
    assert get(path, w.made_up([made], []))[1].count(">without a token<") == labels
