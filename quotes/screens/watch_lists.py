"""Changing the watch lists of a user: each change in one step, and none over another's unseen."""

from typing import Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from quotes.screens.errors import ChangedMeanwhile, NameTaken, NoSuchList, TooManyLists
from quotes.screens.models import MAX_LISTS, WatchList


def watch_lists_of(*, user: Any) -> QuerySet[WatchList]:
    """Return the lists of a user, the oldest first."""
    return WatchList.objects.filter(user=user)


def watch_list_get(*, user: Any, pk: int) -> WatchList:
    """Return a list of a user; raise NoSuchList."""
    found = watch_lists_of(user=user).filter(pk=pk).first()
    if found is None:
        raise NoSuchList(f"no such watch list, got {pk}")
    return found


def watch_list_create(*, user: Any, name: str, symbols: list[str]) -> WatchList:
    """Create a list.

    Raises:
        NameTaken, TooManyLists: see there.
    """
    try:
        with transaction.atomic():
            # Requests of one user are counted one after the other.
            get_user_model().objects.select_for_update().get(pk=user.pk)
            if watch_lists_of(user=user).count() >= MAX_LISTS:
                raise TooManyLists(f"a user may have at most {MAX_LISTS} watch lists")
            return WatchList.objects.create(user=user, name=name, symbols=symbols)
    except IntegrityError as error:
        raise _name_taken(name) from error


def watch_list_change(
    *, user: Any, pk: int, version: int, name: str, symbols: list[str]
) -> WatchList:
    """Replace the name and the symbols of a list.

    Args:
        version: of the list that the change began from.

    Raises:
        ChangedMeanwhile, NameTaken, NoSuchList: see there.
    """
    same = watch_lists_of(user=user).filter(pk=pk, version=version)
    try:
        with transaction.atomic():
            changed = same.update(
                name=name, symbols=symbols, version=F("version") + 1, changed_at=timezone.now()
            )
    except IntegrityError as error:
        raise _name_taken(name) from error
    current = watch_list_get(user=user, pk=pk)
    if not changed:
        raise _changed(version, current)
    return current


def watch_list_delete(*, user: Any, pk: int, version: int | None = None) -> None:
    """Delete a list.

    Args:
        version: None: whatever its version is.

    Raises:
        ChangedMeanwhile, NoSuchList: see there.
    """
    found = watch_lists_of(user=user).filter(pk=pk)
    if version is not None:
        found = found.filter(version=version)
    deleted, _ = found.delete()
    if not deleted:
        raise _changed(version, watch_list_get(user=user, pk=pk))


def _name_taken(name: str) -> NameTaken:
    return NameTaken(f"there is a watch list of this name already, got {name!r}")


def _changed(version: int | None, current: WatchList) -> ChangedMeanwhile:
    return ChangedMeanwhile(
        f"the watch list was changed meanwhile and is version {current.version} now, got {version}"
    )
