"""Numbers as a person reads them."""
from __future__ import annotations


def clock(seconds: float) -> str:
    """Return a duration in the largest unit of which there are at least two: "2.5 h", "3.0 days", "90 s"."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.0f} s"
