"""The pages: the tree, one actor, crashes, dead letters, the page that asks before an action. Rendered here, whole without scripts.

Every panel has four honest states: there, empty with the reason, not told by this system, and out of date (which live.js says).
Only what is shown is read in full, and nothing is read while nobody asks. Counterparts: rows.py chooses, templates/ say how,
frame.py frames, mount.py routes.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import trio
from jinja2 import Environment
from markupsafe import Markup
from msgspec import Struct

from actors.runtime.watch import spark
from actors.runtime.watch.actions import ACTIONS, Action, ActionRefused
from actors.runtime.watch.frame import Page
from actors.runtime.watch.parameters import Pairs, given_of, page_of, whole
from actors.runtime.watch.rows import SHOWS, SORTS, BadQuery, Looked, Query, look, query_of
from actors.runtime.watch.sampler import Sampler
from actors.runtime.watch.shown import ShownActor, decided
from actors.runtime.watch.told import Told
from actors.runtime.watch.words import ago, link, rfc3339, segment

__all__ = ["HERE_SHOWN", "Pages"]

HERE_SHOWN: Final = 20
"""Crashes and dead letters of one actor that are shown on its page; the rest under the link to all."""


class Asked(Struct, frozen=True):
    """An action with what it is to be done to, from the URL or the form."""

    action: Action
    path: str
    incarnation: int | None
    letter: int | None


class Pages:
    """Makes the content of the pages. `told`: what is known of the system; `pages_at`, `api_at`: where we are mounted."""

    def __init__(
        self,
        told: Told,
        sampler: Sampler,
        templates: Environment,
        *,
        pages_at: str,
        api_at: str,
        allowed: bool,
        hint: str,
    ) -> None:
        self._told = told
        self._sampler = sampler
        self._templates = templates
        self._pages_at = pages_at
        self._api_at = api_at
        self._allowed = allowed
        self._hint = hint

    async def tree(self, pairs: Pairs) -> Page:
        """The whole tree, or what a search finds in it."""
        query = query_of(pairs)
        looked = await look(self._told.reader(), query)
        rows = self._rows(looked, listed=query.is_list)
        crashes = self._told.crashes()
        now = self._told.now()
        recent = sum(1 for crash in crashes or () if crash.failure.at >= now - 600.0)
        content = self._render(
            "tree.html",
            **self._listing(looked, query, self._pages_at, rows),
            crashes=None if crashes is None else recent,
            letters=self._told.letters_statistics(),
            sampler=self._sampler.statistics(),
        )
        return Page("Actors", "tree", content, json_link=self._api_at)

    async def actor(self, path: str, pairs: Pairs) -> Page:
        """One actor: everything about it, what is under it, its crashes, its dead letters, its stack."""
        query = query_of(pairs)
        reader = self._told.reader()
        place = reader.find(path)
        crashes = self._told.crashes_of(path)
        letters = self._told.letters_of(path)
        if place is None and not crashes and not letters:
            return self.problem(
                404,
                "No such actor",
                "Nothing runs at this path, and no crash or dead letter of it is kept. An actor that is started by key is there "
                "while it has something to do.",
            )
        common: dict[str, Any] = {
            "path": path,
            "name": path.rpartition("/")[2],
            "crumbs": self._crumbs(path),
            "crashes": None if crashes is None else [self._crash(crash) for crash in crashes[:HERE_SHOWN]],
            "crashes_left": max(0, len(crashes or ()) - HERE_SHOWN),
            "letters": None if letters is None else letters[:HERE_SHOWN],
            "letters_left": max(0, len(letters or ()) - HERE_SHOWN),
            "taken": self._told.taken.of(path),
            "retellable": self._told.has_operations,
        }
        if place is None:
            return Page(common["name"], "actor", self._render("ended.html", **common))
        record = reader.record(place)
        listing: dict[str, Any] = {"rows": None}
        if reader.is_supervisor(place):
            looked = await look(reader, query, place)
            if looked.known > 1:
                rows = self._rows(looked, listed=query.is_list or reader.is_keyed(place))
                listing = self._listing(looked, query, self._address(path), rows)
        self._sampler.look_at([path])
        points, now = self._sampler.points(path), trio.current_time()
        shown = ShownActor(record, 0, points, now, self._told.now())
        charts = [
            spark.chart(points, now, "handled a second", lambda p: p.handled_per_s),
            spark.chart(
                points, now, "waiting in the mailbox", lambda p: float(p.depth), float(record.mailbox.capacity)
            ),
            spark.chart(points, now, "failures", lambda p: float(p.failed)),
        ]
        content = self._render(
            "actor.html",
            **common,
            **listing,
            n=shown,
            charts=charts if self._told.is_live else None,
            kinds=sorted(record.message_types.items(), key=lambda pair: -pair[1]),
            stack=self._told.stack(path),
            buttons=[action for action in ACTIONS.values() if action.of == "actor"] if self._can_act(path) else [],
        )
        return Page(shown.name, "actor", content, json_link=f"{self._api_at}{segment(path)}")

    async def crashes(self, pairs: Pairs) -> Page:
        """The crashes that are kept, newest first."""
        given = given_of(pairs, "path", "decision", "page")
        crashes = self._told.crashes()
        found = [
            crash
            for crash in crashes or ()
            if crash.path.startswith(given.get("path", "")) and given.get("decision", crash.decision) == crash.decision
        ]
        page, shown, paging = page_of(found, given, f"{self._pages_at}/-/crashes")
        content = self._render(
            "crashes.html",
            told=crashes is not None,
            crashes=[self._crash(crash) for crash in shown],
            decisions=Counter(crash.decision for crash in crashes or ()),
            kept=len(crashes or ()),
            given=given,
            **paging,
        )
        return Page(
            "Crashes" if page == 1 else f"Crashes, page {page}",
            "crashes",
            content,
            json_link=f"{self._api_at}/-/crashes",
        )

    async def crash(self, crash_id: str) -> Page:
        """One crash, whether its actor is there any more or not."""
        known = {str(crash.id): crash for crash in self._told.crashes() or ()}
        crash = known.get(crash_id)
        if crash is None:
            return self.problem(404, "No such crash", "It is not kept any more, or the link is cut short.")
        there = self._told.reader().find(crash.path) is not None
        content = self._render(
            "crash.html",
            c=self._crash(crash),
            there=there,
            crumbs=[*self._crumbs(crash.path), (self._address(crash.path), crash.path.rpartition("/")[2])],
        )
        return Page(f"Crash of {crash.path.rpartition('/')[2]}", "crash", content, live=False)

    async def letters(self, pairs: Pairs) -> Page:
        """The dead letters that are kept, newest first, by reason."""
        given = given_of(pairs, "path", "reason", "page")
        letters = self._told.letters()
        found = [
            letter
            for letter in letters or ()
            if letter.path.startswith(given.get("path", ""))
            and given.get("reason", letter.reason.value) == letter.reason.value
        ]
        page, shown, paging = page_of(found, given, f"{self._pages_at}/-/letters")
        content = self._render(
            "letters.html",
            told=letters is not None,
            letters=shown,
            statistics=self._told.letters_statistics(),
            given=given,
            taken=[taken for taken in self._told.taken.of() if taken.letter is not None][:HERE_SHOWN],
            retellable=self._told.has_operations,
            **paging,
        )
        return Page(
            "Dead letters" if page == 1 else f"Dead letters, page {page}",
            "letters",
            content,
            json_link=f"{self._api_at}/-/letters",
        )

    # --- actions -------------------------------------------------------------------------------------------------------

    def asked(self, pairs: Pairs) -> Asked:
        """What is to be done, from parameters. BadQuery; ActionRefused where actions are off or there is no such thing."""
        if not self._allowed:
            raise ActionRefused(403, f"Actions are off. {self._hint}")
        given = given_of(pairs, "action", "path", "incarnation", "letter")
        action = ACTIONS.get(given.get("action", ""))
        if action is None:
            raise BadQuery(f"action: one of {', '.join(ACTIONS)}")
        if action.of == "letter":
            number = whole(given, "letter")
            letter = next((letter for letter in self._told.letters() or () if letter.id == number), None)
            if letter is None:
                raise ActionRefused(404, "This dead letter is not kept any more.")
            return Asked(action, letter.path, None, number)
        return Asked(action, given.get("path", ""), whole(given, "incarnation"), None)

    def confirm(self, asked: Asked, wrong: str = "", status: int = 200) -> Page:
        """The page that asks once, for the operator's token too."""
        reader, now = self._told.reader(), self._told.now()
        letter, shown = None, None
        place = reader.find(asked.path)
        if asked.letter is not None:
            letter = next((letter for letter in self._told.letters() or () if letter.id == asked.letter), None)
        elif place is None:
            return self.problem(404, "No such actor", "It is not part of the tree any more.")
        if place is not None:
            shown = ShownActor(reader.record(place), 0, (), trio.current_time(), now)
            if letter is None and shown.record.incarnation != asked.incarnation:
                wrong, status = "It was started anew since: this is about its present incarnation.", 409
                asked = Asked(asked.action, asked.path, shown.record.incarnation, None)
        back = f"{self._pages_at}/-/letters" if letter is not None else self._address(asked.path)
        content = self._render("confirm.html", a=asked, n=shown, letter=letter, wrong=wrong, back=back)
        return Page(asked.action.question, "confirm", content, status, live=False)

    def done_at(self, asked: Asked) -> str:
        """Where to look at the outcome."""
        return f"{self._pages_at}/-/letters" if asked.letter is not None else self._address(asked.path)

    def problem(self, status: int, heading: str, words: str) -> Page:
        """A page that says why there is no other."""
        return Page(heading, "problem", self._render("problem.html", heading=heading, words=words), status, live=False)

    # --- pieces ----------------------------------------------------------------------------------------------------------

    def _can_act(self, path: str) -> bool:
        return self._allowed and self._told.has_operations and path.count("/") > 1

    def _address(self, path: str) -> str:
        return f"{self._pages_at}{segment(path)}"

    def _crumbs(self, path: str) -> list[tuple[str, str]]:
        names = path.split("/")[1:-1]
        above = [(self._address("/" + "/".join(names[: i + 1])), name) for i, name in enumerate(names)]
        return [(self._pages_at, "Actors"), *above]

    def _rows(self, looked: Looked, *, listed: bool) -> list[ShownActor]:
        reader, trio_now, now = self._told.reader(), trio.current_time(), self._told.now()
        self._sampler.look_at([row.glance.path for row in looked.rows])
        return [
            ShownActor(
                reader.record(row.place),
                0 if listed else row.level,
                self._sampler.points(row.glance.path),
                trio_now,
                now,
                row.fold,
            )
            for row in looked.rows
        ]

    def _listing(self, looked: Looked, query: Query, at: str, rows: list[ShownActor]) -> dict[str, Any]:
        """What the table of rows and the form above it need."""
        return {
            "rows": rows,
            "looked": looked,
            "query": query,
            "at": at,
            "shows": SHOWS,
            "sorts": SORTS,
            "previous": link(at, **query.parameters(page=looked.page - 1)) if looked.page > 1 else None,
            "next": link(at, **query.parameters(page=looked.page + 1)) if looked.page < looked.pages else None,
            "show_link": lambda show: link(at, **query.parameters(show=show)),
            "sort_link": lambda sort: link(at, **query.parameters(sort="" if sort == query.sort else sort)),
            "sampled": self._told.is_live,
        }

    def _crash(self, crash: Any) -> dict[str, Any]:
        return {
            "record": crash,
            "name": crash.path.rpartition("/")[2],
            "decided": decided(crash),
            "escalated": [(self._address(path), path) for path in crash.escalated_to],
        }

    def _render(self, template: str, **values: Any) -> Markup:
        now = self._told.now()
        text = self._templates.get_template(template).render(
            now=now,
            ago=lambda at: ago(at, now),
            rfc3339=rfc3339,
            at_pages=self._pages_at,
            at_api=self._api_at,
            address=self._address,
            allowed=self._allowed,
            meter=spark.meter,
            **values,
        )
        return Markup(text)  # noqa: S704 - made by a template that escapes
