"""Recording every change of users and entitlements that goes through the models.

Changes without signals (bulk updates, SQL by hand) are not recorded; the watch over open sockets
finds them (`revocation.py`).
"""

import contextlib
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.contrib.auth.signals import user_logged_out
from django.core.exceptions import ObjectDoesNotExist
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save

from quotes.access.changes import change_record, login_end, session_login
from quotes.access.models import AccessProfile, ApiKey, SegmentGrant, UserClass

_WATCHED = ("is_active", "is_superuser", "is_staff", "username", "password")


def connect() -> None:
    """Connect the receivers; called once, by the app."""
    user_model: Any = get_user_model()
    pre_save.connect(_keep_user_before, user_model, dispatch_uid="access.user")
    post_save.connect(_user_saved, user_model, dispatch_uid="access.user")
    post_delete.connect(_user_deleted, user_model, dispatch_uid="access.user")
    for relation in ("groups", "user_permissions"):
        through = getattr(user_model, relation).through
        m2m_changed.connect(_memberships_changed, through, dispatch_uid=f"access.{relation}")
    m2m_changed.connect(_group_changed, Group.permissions.through, dispatch_uid="access.group")
    for model in (SegmentGrant, AccessProfile, UserClass, ApiKey):
        post_save.connect(_row_saved, model, dispatch_uid="access.row")
        post_delete.connect(_row_deleted, model, dispatch_uid="access.row")
    user_logged_out.connect(_session_ended, dispatch_uid="access.session")


def _keep_user_before(sender: Any, instance: Any, update_fields: Any = None, **kwargs: Any) -> None:
    instance.access_before = None
    if instance.pk and (update_fields is None or set(update_fields) & set(_WATCHED)):
        instance.access_before = sender.objects.filter(pk=instance.pk).values(*_WATCHED).first()


def _user_saved(sender: Any, instance: Any, created: bool, **kwargs: Any) -> None:
    before = getattr(instance, "access_before", None)
    if created:
        change_record(what=f"user {instance} added", user_id=instance.pk)
    elif before is not None:
        changed = [name for name in _WATCHED if before[name] != getattr(instance, name)]
        if changed:
            texts = [
                "password changed" if name == "password" else f"{name}={getattr(instance, name)}"
                for name in changed
            ]
            change_record(what=f"user {instance}: {', '.join(texts)}", user_id=instance.pk)


def _user_deleted(sender: Any, instance: Any, **kwargs: Any) -> None:
    change_record(what=f"user {instance} deleted", user_id=instance.pk)


def _memberships_changed(
    sender: Any, instance: Any, action: str, reverse: bool, pk_set: Any, **kwargs: Any
) -> None:
    if not action.startswith("post_"):
        return
    what = sender._meta.model_name.partition("_")[2] or "membership"
    if reverse:
        change_record(what=f"{instance}: {what} of users changed ({action})")
    else:
        change_record(what=f"user {instance}: {what} changed ({action})", user_id=instance.pk)


def _group_changed(sender: Any, instance: Any, action: str, **kwargs: Any) -> None:
    if action.startswith("post_"):
        change_record(what=f"permissions of {instance} changed ({action})")


def _row_saved(sender: Any, instance: Any, created: bool, **kwargs: Any) -> None:
    _record_row(instance, "added" if created else "changed")


def _row_deleted(sender: Any, instance: Any, **kwargs: Any) -> None:
    _record_row(instance, "deleted")


def _record_row(row: Any, verb: str) -> None:
    whose = ""
    for kind in ("user", "group"):
        if getattr(row, f"{kind}_id", None) is not None:
            # It may be deleted already, which is why the row is.
            with contextlib.suppress(ObjectDoesNotExist):
                whose = f" of {kind} {getattr(row, kind)}"
    change_record(
        what=f"{row._meta.verbose_name}{whose} {verb}: {row}",
        user_id=getattr(row, "user_id", None),
        group_id=getattr(row, "group_id", None),
    )


def _session_ended(sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
    login = session_login(getattr(request, "session", None))
    login_end(login=login, user_id=user.pk if user else None, why=f"user {user} logged out")
