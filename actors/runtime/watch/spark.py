"""Small charts as inline SVG: marks and numbers only, styled by the style sheet, since a strict content policy allows no more.

A chart is ten minutes wide, whatever was sampled of them: where nobody looked there is nothing. Counterpart: sampler.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from markupsafe import Markup

from actors.runtime.watch.sampler import KEPT, PERIOD_S, Point
from actors.runtime.watch.words import number, per_second, plain

__all__ = ["chart", "meter", "sparkline"]

WIDTH: Final = KEPT
HEIGHT: Final = 24
SPAN_S: Final = KEPT * PERIOD_S
GAP_S: Final = 2.5 * PERIOD_S
"""Two samples that are further apart are not joined."""


def _path(points: Sequence[Point], value: Callable[[Point], float], top: float, now: float) -> tuple[str, str]:
    """(the line, the area under it) as path data."""
    line: list[str] = []
    area: list[str] = []
    run: list[str] = []
    last_at: float | None = None

    def end() -> None:
        if run:
            first, last = run[0].split(" ")[0], run[-1].split(" ")[0]
            line.append("M" + "L".join(run))
            area.append(f"M{first} {HEIGHT}L" + "L".join(run) + f"L{last} {HEIGHT}Z")
            run.clear()

    for point in points:
        x = WIDTH * (1.0 - (now - point.at) / SPAN_S)
        if x < 0:
            continue
        if last_at is not None and point.at - last_at > GAP_S:
            end()
        last_at = point.at
        share = min(1.0, value(point) / top) if top else 0.0
        run.append(f"{x:.1f} {HEIGHT - 1 - share * (HEIGHT - 2):.1f}")
    end()
    return "".join(line), "".join(area)


def sparkline(points: Sequence[Point], now: float, name: str) -> Markup:
    """Messages handled a second, in one line of a table; the words say what the line shows."""
    if not points:
        return Markup('<span class="w-spark w-muted">sampling</span>')
    most = max(point.handled_per_s for point in points)
    line, area = _path(points, lambda point: point.handled_per_s, most, now)
    label = f"handled a second by {plain(name)}: now {per_second(points[-1].handled_per_s)}, at most {per_second(most)}"
    return Markup(
        '<svg class="w-spark" viewBox="0 0 {0} {1}" preserveAspectRatio="none" role="img" aria-label="{2}">'
        '<path class="w-area" d="{3}"/><path class="w-line" d="{4}"/></svg>'
    ).format(WIDTH, HEIGHT, label, area, line)


def chart(
    points: Sequence[Point], now: float, title: str, value: Callable[[Point], float], bound: float | None = None
) -> Markup:
    """One figure of an actor's page over ten minutes: the line, its last and highest value. `bound`: what the top stands for."""
    if not points:
        words = "The first samples come within ten seconds; what was before somebody looked is not kept."
        return Markup('<figure class="w-chart"><figcaption>{0}</figcaption><p class="w-muted">{1}</p></figure>').format(
            title, words
        )
    most = max(value(point) for point in points)
    line, area = _path(points, value, bound or most, now)
    told = f"now {per_second(value(points[-1]))}, at most {per_second(most)}"
    if bound:
        told += f", bound {number(bound)}"
    return Markup(
        '<figure class="w-chart"><figcaption>{2}<span class="w-sub">{3}</span></figcaption>'
        '<svg viewBox="0 0 {0} {1}" preserveAspectRatio="none" role="img" aria-label="{2}: {3}">'
        '<path class="w-area" d="{4}"/><path class="w-line" d="{5}"/></svg>'
        '<p class="w-axis"><span>10 min ago</span><span>now</span></p></figure>'
    ).format(WIDTH, HEIGHT, title, told, area, line)


def meter(value: float, bound: float, label: str) -> Markup:
    """How full something is: a bar that changes its colour at a half and at four fifths, and says so in words."""
    share = min(100.0, 100.0 * value / bound) if bound else 0.0
    kind = " w-full" if share >= 80 else " w-half" if share >= 50 else ""
    return Markup(
        '<svg class="w-meter{0}" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label="{1}: {2} of {3}">'
        '<rect class="w-bed" width="100" height="6"/><rect class="w-amount" width="{4:.2f}" height="6"/></svg>'
    ).format(kind, plain(label), number(value), number(bound), share)
