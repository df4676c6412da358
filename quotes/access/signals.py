"""Recording every change of who may see what, whichever way the models are saved.

What evades signals (bulk updates, SQL by hand) leaves no audit line, but is found by the watch
over open sockets (`revocation.py`).
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

WATCHED = ("is_active", "is_superuser", "is_staff", "username", "password")


def connect() -> None:
    """Listen to all that matters; called once, by the app."""
    user_model: Any = get_user_model()
    pre_save.connect(remember_user, user_model, dispatch_uid="access.user")
    post_save.connect(user_saved, user_model, dispatch_uid="access.user")
    post_delete.connect(user_deleted, user_model, dispatch_uid="access.user")
    for relation in ("groups", "user_permissions"):
        through = getattr(user_model, relation).through
        m2m_changed.connect(memberships_changed, through, dispatch_uid=f"access.{relation}")
    m2m_changed.connect(group_changed, Group.permissions.through, dispatch_uid="access.group")
    for model in (SegmentGrant, AccessProfile, UserClass, ApiKey):
        post_save.connect(row_saved, model, dispatch_uid="access.row")
        post_delete.connect(row_deleted, model, dispatch_uid="access.row")
    user_logged_out.connect(session_ended, dispatch_uid="access.session")


def remember_user(sender: Any, instance: Any, update_fields: Any = None, **kwargs: Any) -> None:
    instance.access_before = None
    if instance.pk and (update_fields is None or set(update_fields) & set(WATCHED)):
        instance.access_before = sender.objects.filter(pk=instance.pk).values(*WATCHED).first()


def user_saved(sender: Any, instance: Any, created: bool, **kwargs: Any) -> None:
    before = getattr(instance, "access_before", None)
    if created:
        change_record(what=f"user {instance} added", user_id=instance.pk)
    elif before is not None:
        changed = [name for name in WATCHED if before[name] != getattr(instance, name)]
        if changed:
            texts = [
                "password changed" if name == "password" else f"{name}={getattr(instance, name)}"
                for name in changed
            ]
            change_record(what=f"user {instance}: {', '.join(texts)}", user_id=instance.pk)


def user_deleted(sender: Any, instance: Any, **kwargs: Any) -> None:
    change_record(what=f"user {instance} deleted", user_id=instance.pk)


def memberships_changed(
    sender: Any, instance: Any, action: str, reverse: bool, pk_set: Any, **kwargs: Any
) -> None:
    if not action.startswith("post_"):
        return
    what = sender._meta.model_name.partition("_")[2] or "membership"
    if reverse:
        change_record(what=f"{instance}: {what} of users changed ({action})")
    else:
        change_record(what=f"user {instance}: {what} changed ({action})", user_id=instance.pk)


def group_changed(sender: Any, instance: Any, action: str, **kwargs: Any) -> None:
    if action.startswith("post_"):
        change_record(what=f"permissions of {instance} changed ({action})")


def row_saved(sender: Any, instance: Any, created: bool, **kwargs: Any) -> None:
    record_row(instance, "added" if created else "changed")


def row_deleted(sender: Any, instance: Any, **kwargs: Any) -> None:
    record_row(instance, "deleted")


def record_row(row: Any, verb: str) -> None:
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


def session_ended(sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
    login = session_login(getattr(request, "session", None))
    login_end(login=login, user_id=user.pk if user else None, why=f"user {user} logged out")
