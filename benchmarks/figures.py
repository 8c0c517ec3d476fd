"""Figures of one run: medians, their ratios, and how far they spread."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Series:
    """One figure, measured several times; in `unit`, smaller is better unless it is a rate."""

    name: str
    unit: str
    values: Sequence[float]

    @property
    def middle(self) -> float:
        """The median."""
        return median(self.values)

    def told(self) -> str:
        """Return the median and the spread, for a person."""
        low, high = min(self.values), max(self.values)
        return f"{_short(self.middle)} {self.unit} ({_short(low)} to {_short(high)})"


@dataclass(frozen=True, slots=True)
class Ratio:
    """One figure against another of the same run; `most` or `least` is the bar, if any."""

    name: str
    of: Series
    to: Series
    most: float | None = None
    least: float | None = None

    @property
    def value(self) -> float:
        """The ratio of the medians."""
        return self.of.middle / self.to.middle

    @property
    def holds(self) -> bool | None:
        """Whether the bar is met; None where there is none."""
        if self.most is not None:
            return self.value <= self.most
        return None if self.least is None else self.value >= self.least

    def told(self) -> str:
        """Return the line of the table."""
        pairs = [one / other for one, other in zip(self.of.values, self.to.values, strict=False)]
        spread = f"{min(pairs):.2f} to {max(pairs):.2f}"
        bar = "" if self.holds is None else f"≤ {self.most}" if self.most else f"≥ {self.least}"
        mark = {True: "yes", False: "NO", None: ""}[self.holds]
        ratio = f"**{self.value:.2f}** ({spread})"
        cells = (self.name, self.of.told(), self.to.told(), ratio, bar, mark)
        return f"| {' | '.join(cells)} |"


HEAD = (
    "| what | figure | held against | ratio of the medians (pairs) | bar | reached |\n"
    "| --- | ---: | ---: | ---: | ---: | --- |"
)


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
