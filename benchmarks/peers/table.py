"""The table of the peers, as the page about performance has it."""

from collections.abc import Sequence
from statistics import median

from benchmarks.figures import Ratio, Series
from benchmarks.peers.contenders import Contender
from benchmarks.peers.environment import versions
from benchmarks.peers.libraries import BARE, LACKS, LIBRARIES
from benchmarks.stage import CONCURRENCY


def table(at_once: Sequence[Contender], at_latency: Sequence[Contender], latency: float) -> str:
    """Return a line for each contender: what a job costs, the paces, and what it does not give."""
    (bare,) = (each for each in at_once if each.name == BARE)
    slow = {each.name: each for each in at_latency}
    head = (
        "contender",
        "a job, ms",
        "x bare (pairs)",
        "PostgreSQL, ms",
        "jobs in a second",
        f"at {1000 * latency:.0f} ms: jobs in a second, of the ideal",
        "what it does not give",
    )
    rules = ("---", "---:", "---:", "---:", "---:", "---:", "---")
    lines = [head, rules, *(_line(each, bare, slow[each.name], latency) for each in at_once)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _line(each: Contender, bare: Contender, slow: Contender, latency: float) -> tuple[str, ...]:
    pace = median(slow.pace)
    return (
        _named(each.name),
        f"{median(each.cpu):.2f}",
        _ratio(each.cost(), bare.cost()),
        f"{median(each.database_cpu):.2f}",
        f"{median(each.pace):.0f}",
        f"{pace:.1f}, {pace / (CONCURRENCY / latency):.0%}",
        LACKS[each.name],
    )


def _named(name: str) -> str:
    """Return a contender with the versions of its libraries."""
    pinned = versions()
    packages = [package for each in LIBRARIES if each.name == name for package in each.packages]
    told = ", ".join(f"{package} {pinned[package]}" for package in packages)
    return f"{name} ({told})" if told else name


def _ratio(of: Series, to: Series) -> str:
    pairs = [one / other for one, other in zip(of.values, to.values, strict=True)]
    ratio = Ratio("", of, to).value
    return f"**{ratio:.2f}** ({min(pairs):.2f} to {max(pairs):.2f})"
