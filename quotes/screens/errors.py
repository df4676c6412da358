"""Why a watch list is not changed.

WatchListError
├── NameTaken          the user has a list of this name
├── TooManyLists       the user has as many lists as one may
├── ChangedMeanwhile   the list is of another version by now
└── NoSuchList         the user has no such list
"""


class WatchListError(Exception):
    """Base of all; the text is for people."""

    code = 409


class NameTaken(WatchListError):
    """The user has a list of this name."""


class TooManyLists(WatchListError):
    """The user has as many lists as one may."""


class NoSuchList(WatchListError):
    """The user has no such list; lists of others are not told from ones that never were."""

    code = 404


class ChangedMeanwhile(WatchListError):
    """Another browser changed the list first."""
