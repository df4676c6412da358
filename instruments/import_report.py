"""What an import did or would do: counts, the first rows of each kind, and a line that sums up."""

from collections import Counter
from dataclasses import dataclass, field

from instruments.formats.reading import Rejection

# Of each kind so many are kept to be shown; all are counted.
KEPT = 100


@dataclass
class ImportReport:
    """The result of one import.

    Attributes:
        vendor: whose file it was, if it was a file.
        new, changed, unchanged: rows of the file by what they meant for the master.
        deactivated: instruments of the file's segments that the file no longer has.
        renamed: instruments that go on under other symbols.
        released: instruments that lost their tokens to others of the file.
        repeated: rows whose segment and symbol came before in the file; the first counts.
        outside: rows of segments that the master does not keep.
        rejected: rows that cannot be instruments.
        segments: segment -> its rows that count.
        rejections: the first KEPT rejected rows.
        examples: kind -> the first KEPT instruments of it, with what changes.
        dry_run: everything was tried and undone.
        refused: rows were rejected and were not to be skipped: nothing was changed.
        kept_missing: missing instruments stayed active because rows were rejected, and these may
            be the missing ones.
    """

    vendor: str = ""
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    deactivated: int = 0
    renamed: int = 0
    released: int = 0
    repeated: int = 0
    outside: int = 0
    rejected: int = 0
    segments: Counter[str] = field(default_factory=Counter)
    rejections: list[Rejection] = field(default_factory=list)
    examples: dict[str, list[str]] = field(default_factory=dict)
    dry_run: bool = False
    refused: bool = False
    kept_missing: bool = False

    @property
    def writes(self) -> int:
        """How many instruments are written or would be."""
        return self.new + self.changed + self.deactivated + self.released

    def reject(self, rejection: Rejection) -> None:
        """Count a rejected row, and keep it if it is among the first."""
        self.rejected += 1
        if len(self.rejections) < KEPT:
            self.rejections.append(rejection)

    def example(self, kind: str, text: str) -> None:
        """Keep an instrument of a kind if it is among the first."""
        kept = self.examples.setdefault(kind, [])
        if len(kept) < KEPT:
            kept.append(text)

    def __str__(self) -> str:
        counts = [
            f"{getattr(self, name):,} {name}"
            for name in ("new", "changed", "unchanged", "deactivated", "rejected")
        ]
        counts += [
            f"{number:,} {what}"
            for number, what in (
                (self.renamed, "renamed"),
                (self.released, "released their tokens"),
                (self.repeated, "repeated"),
                (self.outside, "of other segments"),
            )
            if number
        ]
        text = f"{self.vendor + ': ' if self.vendor else ''}{', '.join(counts)}"
        if self.kept_missing:
            text += "; nothing was deactivated because rows were rejected"
        if self.refused:
            return f"{text}; nothing was changed because rows were rejected"
        return f"{text}; nothing was changed, this was a dry run" if self.dry_run else text
