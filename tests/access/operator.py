"""What an operator does to users, as a program beside the web processes: a line of JSON each.

python -m tests.access.operator
["user", "asha", ["NSE_EQ"], []]  ->  {"access": ..., "refresh": ..., "id": 1}
"""

import io
import json
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
django.setup()

from django.contrib import admin  # noqa: E402
from django.contrib.auth import (  # noqa: E402
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
)
from django.contrib.auth.models import Group, User  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402
from rest_framework_simplejwt.exceptions import TokenError  # noqa: E402

from quotes.access.credentials.logins import LoginRefreshToken  # noqa: E402
from quotes.access.models import ApiKey, SegmentGrant  # noqa: E402
from tests.access import people  # noqa: E402


def migrate() -> None:
    call_command("migrate", verbosity=0)


def call(command: str, *arguments: str) -> None:
    """Run a management command."""
    call_command(command, *arguments, stdout=io.StringIO())


def user(name: str, segments: list[str], groups: list[str]) -> dict[str, Any]:
    """Make a user with grants of its own, and groups with a grant of MCX."""
    row = people.asha(*segments, username=name)
    for group in groups:
        row.groups.add(people.desk_group("MCX", name=group))
    return tokens(name)


def tokens(name: str) -> dict[str, Any]:
    row = User.objects.get(username=name)
    access, refresh = people.login(row)
    return {"access": access, "refresh": refresh, "id": row.pk}


def set_password(name: str, password: str) -> None:
    row = User.objects.get(username=name)
    row.set_password(password)
    row.save()


def deactivate(name: str) -> None:
    row = User.objects.get(username=name)
    row.is_active = False
    row.save()


def deactivate_by_sql(name: str) -> None:
    """As a statement by hand does it: nothing is recorded."""
    User.objects.filter(username=name).update(is_active=False)


def change_password(name: str) -> None:
    row = User.objects.get(username=name)
    row.set_unusable_password()
    row.save()


def delete(name: str) -> None:
    User.objects.get(username=name).delete()


def revoke_grant(name: str) -> None:
    SegmentGrant.objects.get(user__username=name, segment="NSE_EQ").delete()


def end_grant(name: str) -> None:
    row = SegmentGrant.objects.get(user__username=name, segment="NSE_EQ")
    row.valid_until = people.past().date().replace(year=2020)
    row.save()


def session(name: str) -> str:
    """Log a new superuser in to admin; return the key of the session."""
    user = User.objects.create_superuser(name)
    store = SessionStore()
    store[SESSION_KEY], store[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
    store[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    store.create()
    return str(store.session_key)


def admin_rows(count: int) -> list[str]:
    """Add rows to every list of admin; return the addresses of the lists."""
    from tests.administration.rows import add_rows

    add_rows(count)
    names = [(one._meta.app_label, one._meta.model_name) for one in admin.site._registry]
    return [f"/admin/{app}/{model}/" for app, model in names]


def leave_group(name: str) -> None:
    User.objects.get(username=name).groups.clear()


def delete_group(name: str) -> None:
    Group.objects.get(name=name).delete()


def api_key(name: str) -> str:
    return people.api_key(User.objects.get(username=name), scope="both")


def url_key(name: str) -> str:
    return people.api_key(User.objects.get(username=name), scope="url")


def delete_key(name: str) -> None:
    ApiKey.objects.get(user__username=name).delete()


def deactivate_key(name: str) -> None:
    row = ApiKey.objects.get(user__username=name)
    row.is_active = False
    row.save()


def refresh_together(refresh: str) -> int:
    """Use one refresh token in twelve threads that have all checked it; return how many may."""
    tokens = [LoginRefreshToken.read(refresh) for _ in range(12)]
    together = threading.Barrier(len(tokens))

    def use(token: LoginRefreshToken) -> bool:
        together.wait()
        try:
            return bool(token.successor())
        except TokenError:
            return False
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(tokens)) as pool:
        return sum(pool.map(use, tokens))


DEEDS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        *(
            migrate,
            call,
            user,
            tokens,
            set_password,
            deactivate,
            deactivate_by_sql,
            change_password,
            delete,
        ),
        *(revoke_grant, end_grant, leave_group, delete_group, api_key),
        *(session, admin_rows, url_key, delete_key, deactivate_key, refresh_together),
    )
}


def main() -> None:
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(DEEDS[name](*arguments)), flush=True)


if __name__ == "__main__":
    main()
