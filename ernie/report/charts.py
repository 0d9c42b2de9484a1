"""Draw line charts as inline SVG, coloured by the page's style sheet so that they follow light and dark."""
from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Optional

from markupsafe import Markup, escape

WIDTH, HEIGHT = 560, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 24, 34
LETTER = 6.2  # mean width of a letter at the size of the labels


@dataclass
class Series:
    """A line, or with ``dots`` only its points. ``style``: a class of the page's style sheet, s1 to s6."""

    name: str
    points: Sequence[tuple[float, Optional[float]]]  # (x, y); y None breaks the line
    style: str = "s1"
    dots: bool = False


@dataclass
class Chart:
    """One axis pair. ``scale``: "" for plain numbers, "%" for shares, "e" for small rates.

    Args:
        levels: (name, y) of dashed horizontal lines. stages: (label, first x, last x).
        resumes, skips: (x, what happened), marked by triangles and crosses. zero: whether the axis begins at 0.
        axis: what x counts.
    """

    title: str
    series: list[Series]
    scale: str = ""
    levels: list[tuple[str, float]] = field(default_factory=list)
    stages: list[tuple[str, int, int]] = field(default_factory=list)
    resumes: list[tuple[int, str]] = field(default_factory=list)
    zero: bool = False
    axis: str = "step"
    skips: list[tuple[int, str]] = field(default_factory=list)

    def svg(self) -> Markup:
        """Return the drawing as markup; empty when there is no point to draw."""
        values = [y for series in self.series for _, y in series.points if y is not None]
        if not values:
            return Markup("")
        self._scale(values + [y for _, y in self.levels])
        parts = [*self._grid(), *self._stages(), *self._lines(), *self._levels(), *self._marks()]
        label = escape(f"{self.title}: " + ", ".join(series.name for series in self.series))
        return Markup(f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>')

    def legend(self) -> list[Series]:
        """Return the series to name in the legend: none when a single line stands under its title."""
        return self.series if len(self.series) > 1 else []

    def _scale(self, values: list[float]) -> None:
        low, high = (0.0 if self.zero else min(values)), max(values)
        if high - low < 1e-12 * max(1.0, abs(high)):
            low, high = (low - 0.5 * abs(low), high + 0.5 * abs(high)) if high else (0.0, 1.0)
            low = 0.0 if self.zero else low
        self.y_ticks = ticks(low, high, 4)
        self.low, self.high = min(low, self.y_ticks[0]), max(high, self.y_ticks[-1])
        last = [x for series in self.series for x, _ in series.points] + [stop for _, _, stop in self.stages]
        self.last = max(last) or 1

    def _x(self, x: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * x / self.last, 1)

    def _y(self, y: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (y - self.low) / (self.high - self.low), 1)

    def _grid(self) -> Iterator[str]:
        for tick in self.y_ticks:
            y = self._y(tick)
            yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
            yield f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{self._say(tick)}</text>'
        bottom = HEIGHT - BOTTOM
        yield f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>'
        for tick in ticks(0, self.last, 6):
            if tick <= self.last:
                anchor = "end" if self._x(tick) > WIDTH - RIGHT - 10 else "middle"
                text = short(tick, self.last)
                yield f'<text x="{self._x(tick)}" y="{bottom + 15}" text-anchor="{anchor}">{text}</text>'
        yield f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{self.axis}</text>'

    def _stages(self) -> Iterator[str]:
        for number, (label, first, last) in enumerate(self.stages):
            begin, end = self._x(first), self._x(last)
            if number:
                yield f'<line class="stage" x1="{begin}" x2="{begin}" y1="{TOP - 12}" y2="{HEIGHT - BOTTOM}"/>'
            text = next((t for t in (f"stage {label}", label) if len(t) * LETTER < end - begin - 4), None)
            if text:
                yield f'<text class="quiet" x="{(begin + end) / 2}" y="{TOP - 10}" text-anchor="middle">{text}</text>'

    def _levels(self) -> Iterator[str]:
        for name, value in self.levels:
            y = self._y(value)
            text_y = y - 4 if y > TOP + 14 else y + 13
            yield f'<line class="level" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
            yield (f'<text class="quiet halo" x="{LEFT + 4}" y="{text_y}">{escape(name)} '
                   f'{self._say(value, exact=True)}</text>')

    def _lines(self) -> Iterator[str]:
        for series in self.series:
            if not series.dots:
                yield f'<path class="line {series.style}" d="{self._path(series.points)}"/>'
            for x, y in series.points:
                if y is None:
                    continue
                hint = escape(f"{series.name}: {self._say(y, exact=True)} at {self.axis} {x:,}")
                shape = ('class="dot {}" r="4.5"' if series.dots else 'class="touch {}" r="6"').format(series.style)
                yield f'<circle {shape} cx="{self._x(x)}" cy="{self._y(y)}"><title>{hint}</title></circle>'
            if len([1 for _, y in series.points if y is not None]) == 1 and not series.dots:
                x, y = next((x, y) for x, y in series.points if y is not None)
                yield f'<circle class="dot {series.style}" r="3" cx="{self._x(x)}" cy="{self._y(y)}"/>'

    def _path(self, points: Sequence[tuple[float, Optional[float]]]) -> str:
        text, pen = [], "M"
        for x, y in points:
            if y is None:
                pen = "M"
                continue
            text.append(f"{pen}{self._x(x)} {self._y(y)}")
            pen = "L"
        return "".join(text)

    def _marks(self) -> Iterator[str]:
        for x, what in self.resumes:
            place, bottom = self._x(x), HEIGHT - BOTTOM
            yield (f'<path class="resume" d="M{place} {bottom - 9}L{place + 5} {bottom}L{place - 5} {bottom}Z">'
                   f'<title>{escape(what)}</title></path>')
        for x, what in self.skips:
            place, y = self._x(x), HEIGHT - BOTTOM - 5
            yield (f'<path class="skip" d="M{place - 4} {y - 4}L{place + 4} {y + 4}M{place - 4} {y + 4}'
                   f'L{place + 4} {y - 4}"><title>{escape(what)}</title></path>')

    def _say(self, value: float, exact: bool = False) -> str:
        if self.scale == "%":
            return f"{100 * value:.1f} %" if exact else f"{100 * value:.4g} %"
        if self.scale == "e":
            return f"{value:.1e}".replace("e-0", "e-").replace(".0e", "e") if value else "0"
        return f"{value:,.3f}" if exact and abs(value) < 100 else short(value, self.high)


def ticks(low: float, high: float, count: int) -> list[float]:
    """Return about ``count`` round numbers, the first at most ``low``, the last at least ``high``."""
    raw = (high - low) / count
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * k for k in (1, 2, 2.5, 5, 10) if size * k >= raw * 0.999)
    return [step * k for k in range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)]


def short(value: float, beside: float = 0.0) -> str:
    """Write a number in few characters (0.25, 3.5, 12k, 3M), in the unit that ``beside`` would take."""
    largest = max(abs(value), abs(beside))
    for size, unit, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if largest >= size and value:
            return f"{value / unit:.4g}{letter}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
