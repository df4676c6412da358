"""Which Markdown files are pages, at which addresses, and in which groups of readers.

Only these files are ever read: an address is looked up, never made into a path.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from django.conf import settings

_DECISIONS = "docs/decisions/"
_IMAGES = frozenset({".png", ".svg", ".webp", ".jpg"})
# Title of a group -> its pages. A page of docs/ that no group names is in the last one.
_GROUPS = {
    "Start": ("README", "examples", "dashboard", "clients", "recipes"),
    "Build a client": (
        *("protocol", "python", "javascript", "rest", "history", "instruments"),
        *("spreadsheets", "udf", "kite", "openalgo", "socketio"),
    ),
    "Operate": (
        *("deployment", "growing"),
        *("operations", "backups", "security", "settings", "commands", "admin", "reliability"),
        *("instruments-import", "calendar", "history-files", "kafka", "performance"),
    ),
    "Change the code": ("architecture", "CONTRIBUTING", "CHANGELOG"),
}
_AT_THE_ROOT = ("README", "CONTRIBUTING", "CHANGELOG")


@dataclass(frozen=True)
class Source:
    """A Markdown file that is a page.

    Attributes:
        slug: its address below /docs/, without slashes around it.
        name: its path in the project, such as docs/rest.md.
    """

    slug: str
    name: str
    path: Path

    @property
    def title(self) -> str:
        """The first heading."""
        return _title_of(self.path, self.path.stat().st_mtime_ns)


class Library:
    """The pages of one folder of the project.

    Attributes:
        pages: slug -> page.
        by_name: path in the project -> page.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pages = {page.slug: page for page in _found(root)}
        self.by_name = {page.name: page for page in self.pages.values()}
        self.images = {
            path.name: path
            for path in sorted((root / "docs" / "images").glob("*"))
            if path.suffix in _IMAGES and path.is_file()
        }

    def groups(self) -> Mapping[str, list[Source]]:
        """Return the pages by reader, in the order to read them; design decisions come last."""
        found: dict[str, list[Source]] = {}
        left = {slug: page for slug, page in self.pages.items() if "/" not in slug}
        for title, names in _GROUPS.items():
            slugs = [name.lower() for name in names]
            found[title] = [left.pop(slug) for slug in slugs if slug in left]
        found["Change the code"] += left.values()
        decisions = [page for slug, page in self.pages.items() if slug.startswith("decisions/")]
        found["Design decisions"] = sorted(decisions, key=lambda page: page.slug)
        return {title: pages for title, pages in found.items() if pages}

    def like(self, slug: str) -> list[Source]:
        """Return the pages that a wrong address may be meant for, at most three."""
        last = slug.lower().removesuffix(".md").removesuffix(".html").rpartition("/")[2]
        names = {each.rpartition("/")[2]: each for each in self.pages}
        return [self.pages[names[one]] for one in get_close_matches(last, names, 3, 0.5)]


@cache
def library() -> Library:
    """Return the pages of this project; none where it is installed without its documents."""
    return Library(Path(settings.BASE_DIR))


def _found(root: Path) -> Iterator[Source]:
    if not (root / "docs").is_dir():
        return
    for name in _AT_THE_ROOT:
        if (path := root / f"{name}.md").is_file():
            yield Source(name.lower(), path.name, path)
    for path in sorted((root / "docs").glob("*.md")):
        yield Source(path.stem.lower(), f"docs/{path.name}", path)
    for path in sorted((root / _DECISIONS).glob("*.md")):
        yield Source(f"decisions/{path.stem.lower()}", f"{_DECISIONS}{path.name}", path)


@cache
def _title_of(path: Path, mtime_ns: int) -> str:
    with path.open() as lines:
        return next((line[2:].strip() for line in lines if line.startswith("# ")), path.stem)
