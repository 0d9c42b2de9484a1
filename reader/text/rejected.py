"""A count of the documents, lines and files that could not be used, with the reasons."""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from os import PathLike

from reader.utils.errors import InputError

# Left out on purpose: counted, never shown as examples of what is wrong with the input.
REDIRECT, DISAMBIGUATION, NO_ARTICLE, NO_PROSE, EXACT_COPY, NEAR_COPY = ROUTINE = (
    "redirect", "disambiguation page", "page of another namespace than articles", "page without running text",
    "exact copy of an earlier document", "near copy of an earlier document")


@dataclass
class Rejected:
    """Documents, lines and files that could not be used.

    Attributes:
        reasons: how many, by reason. examples: the first LIMIT ones as printable lines that name file and line.
    """

    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    LIMIT = 20

    def add(self, reason: str, path: str | PathLike[str] | None, line: int | None = None, detail: str = "",
            count: int = 1) -> None:
        """Count one rejected document, line or file (``count`` of them when there are several of a kind)."""
        self.reasons[reason] += count
        if len(self.examples) < self.LIMIT and reason not in ROUTINE:
            self.examples.append(str(InputError(f"{reason}{': ' if detail else ''}{detail}", path, line)))

    def merge(self, reasons: dict[str, int], examples: list[str]) -> None:
        """Add the counts and examples of another process."""
        self.reasons.update(reasons)
        self.examples = (self.examples + examples)[:self.LIMIT]

    @property
    def total(self) -> int:
        """Return the number of rejected documents, lines and files."""
        return sum(self.reasons.values())

    @property
    def line(self) -> str:
        """Return the counts and the first example as one line, for an error."""
        counts = f"rejected {self.total}: " + ", ".join(f"{count} {reason}" for reason, count in
                                                        self.reasons.most_common())
        return f"{counts}; {self.examples[0]}" if self.examples else counts

    def __str__(self) -> str:
        lines = [f"rejected {self.total}: " + ", ".join(f"{count} {reason}" for reason, count in
                                                       self.reasons.most_common())]
        more = sum(count for reason, count in self.reasons.items() if reason not in ROUTINE) - len(self.examples)
        return "\n  ".join(lines + self.examples + ([f"... and {more} more"] if more > 0 else []))
