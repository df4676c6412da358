"""The admin site: its name, the order of its first page, and the way to the other pages."""

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.urls import Resolver404, path, resolve, reverse

# app label -> its models, in the order in which operators need them; others follow by name
ORDER: dict[str, tuple[str, ...]] = {
    "auth": ("User", "Group"),
    "access": ("ApiKey", "UserClass", "AccessChange"),
    "instruments": (
        *("Instrument", "Holiday", "TradingSession"),
        *("Segment", "Exchange", "FormerName"),
    ),
    "history": ("Series", "Candle", "Gap"),
    "kite": ("KiteSubscription",),
    "axes": ("AccessAttempt", "AccessFailureLog", "AccessLog"),
}
_LABELS = list(ORDER)

# title, name, meaning, permissions
_FIRST_PAGES = (
    (
        "Connections",
        "connections",
        "Who is connected, slow readers, rates, and how the parts of the deployment work",
        ("access.view_connections",),
    ),
    (
        "Who sees what",
        "segment_access",
        "The users of each segment; what one user sees is linked from there",
        ("auth.view_user", "access.view_segmentgrant"),
    ),
    (
        "Grant or withdraw segments",
        "bulk_grants",
        "For many users or groups: select them in their lists, and choose this action",
        (
            "auth.change_user",
            *(f"access.{verb}_segmentgrant" for verb in ("view", "add", "change", "delete")),
        ),
    ),
)

# What admin leads to; what is closed by a setting is left out.
_OTHER_PAGES = (("Dashboard", "/"), ("Documents", "/docs/"), ("API", "/api/docs/"))


class OperatorSite(AdminSite):
    """Django's admin site under the project's name."""

    site_title = "Live prices"
    site_header = "Live prices: administration"
    index_title = "Administration"
    enable_nav_sidebar = False  # its width is the lists'
    site_url = None  # the links of `other_pages` take its place

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        return {
            **super().each_context(request),
            "other_pages": other_pages(),
            "operator_pages": _operator_pages(request),
        }

    def get_urls(self) -> list[Any]:
        """Return the addresses of admin, those of the operator's pages first."""
        from quotes.administration.urls import PAGES  # which needs every app

        own = [path(address, self.admin_view(view), name=name) for address, view, name in PAGES]
        return [*own, *super().get_urls()]

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Return the apps, and the models of each, in the order of ORDER."""
        apps: list[Any] = super().get_app_list(request, app_label)
        for app in apps:
            models = ORDER.get(app["app_label"], ())
            app["models"].sort(key=lambda model: _place(models, model["object_name"]))
        return sorted(apps, key=lambda app: _place(_LABELS, app["app_label"]))


def _operator_pages(request: HttpRequest) -> list[tuple[str, str, str]]:
    """Return the name, address and meaning of the operator's pages that a user may see."""
    user: Any = request.user
    return [
        (title, reverse(f"admin:{name}"), text)
        for title, name, text, permissions in _FIRST_PAGES
        if user.is_active and user.is_staff and user.has_perms(permissions)
    ]


def other_pages() -> list[tuple[str, str]]:
    """Return the names and paths of the pages outside of admin that are open."""
    return [(name, path) for name, path in _OTHER_PAGES if _is_open(path)]


def _is_open(path: str) -> bool:
    try:
        resolve(path)
    except Resolver404:
        return False
    return True


def _place(order: Any, name: str) -> int:
    """Return where something stands in an order; what is not in it comes last."""
    return order.index(name) if name in order else len(order)
