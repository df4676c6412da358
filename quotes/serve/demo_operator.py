"""The operator's account of the demo: made at the first start, with a random password.

Only for a demo that listens on this machine alone. The password is printed once and stored as a
hash alone.
"""

import secrets

from django.contrib.auth import get_user_model
from django.db import DatabaseError, IntegrityError, transaction

from quotes.runtime.log_lines import is_json
from quotes.serve.listening import LOOPBACK
from quotes.serve.processes import ServeOptions

NAME = "operator"
_PASSWORD_BYTES = 12


def demo_operator_lines(options: ServeOptions) -> list[str]:
    """Make the account if there is no superuser; return what the terminal shows of it.

    Nothing is made, and nothing shown, without --demo, or if other machines may connect.
    """
    if not options.demo or options.host not in LOOPBACK:
        return []
    users = get_user_model()._default_manager
    try:
        if not users.filter(is_superuser=True).exists():
            if users.filter(username=NAME).exists():
                return [
                    f"  log-in     none yet, and {NAME!r} is no superuser: run "
                    "`manage.py createsuperuser`"
                ]
            password = secrets.token_urlsafe(_PASSWORD_BYTES)
            if is_json():  # a log that is kept shows no password
                users.create_superuser(NAME, "", None)
                return [
                    f"  log-in     {NAME}; for a password run `manage.py changepassword {NAME}`"
                ]
            with transaction.atomic():
                users.create_superuser(NAME, "", password)
            return [f"  log-in     {NAME}, password {password} (shown this once)"]
        if users.filter(username=NAME, is_superuser=True).exists():
            return [
                f"  log-in     {NAME}; for a new password run `manage.py changepassword {NAME}`"
            ]
    except IntegrityError:
        return []  # another demo made it at the same time, and shows it
    except DatabaseError as error:
        return [f"  log-in     no account could be made: {error}"]
    return []
