"""The list of instruments with their latest prices, their form, and activating and deactivating."""

import time
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import Truncator

from instruments.admin.base import BoundedPaginator, grouped
from instruments.admin.filters import ExpiryFilter, PriceFilter
from instruments.admin.uploads import UploadPages
from instruments.latest import age_text, latest_prices
from instruments.models import Instrument
from instruments.services import instruments_set_active

# Characters of a name that a list shows.
_NAME_LENGTH = 30


class PricedChangeList(ChangeList):
    """A page of instruments, whose latest prices are read together."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        give_latest(list(self.result_list))


def give_latest(instruments: list[Instrument]) -> None:
    prices = latest_prices([instrument.key for instrument in instruments])
    for instrument in instruments:
        instrument.latest = prices.get(instrument.key)  # type: ignore[attr-defined]


@admin.register(Instrument)
class InstrumentAdmin(UploadPages):
    list_display = (
        *("symbol", "segment", "latest_price", "volume", "price_age", "kind"),
        *("short_name", "expiry", "strike_price", "lot_size", "active"),
    )
    list_filter = ("active", "segment", "instrument_type", ExpiryFilter, PriceFilter)
    list_select_related = ("segment",)
    list_per_page = 100
    ordering = ("symbol", "pk")
    paginator = BoundedPaginator
    search_fields = ("symbol", "name")
    search_help_text = "Words of a symbol or a name, a token, or an ISIN."
    autocomplete_fields = ("segment",)
    actions = ("activate", "deactivate")
    readonly_fields = (
        "latest_price",
        "volume",
        "price_age",
        "first_seen",
        "last_seen",
        "master_version",
    )
    fieldsets = (
        (None, {"fields": ("segment", "symbol", "name", "instrument_type", "active")}),
        ("Contract", {"fields": ("underlying", "expiry", "strike", "lot_size", "tick_size")}),
        ("Numbers", {"fields": ("exchange_token", "instrument_token", "isin")}),
        ("From the feed and from imports", {"fields": readonly_fields}),
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PricedChangeList

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Instrument | None:
        instrument = super().get_object(request, object_id, from_field)
        if instrument is not None:
            give_latest([instrument])
        return instrument

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Instrument], search_term: str
    ) -> tuple[QuerySet[Instrument], bool]:
        """Find a number among the tokens and a word of an ISIN's shape among the ISINs, too."""
        found, repeats = super().get_search_results(request, queryset, search_term)
        term = search_term.strip()
        if term.isascii() and term.isdigit() and len(term) < 19:
            found |= queryset.filter(exchange_token=int(term))
            found |= queryset.filter(instrument_token=int(term))
        elif len(term) == 12 and term.isalnum():
            found |= queryset.filter(isin=term.upper())
        return found, repeats

    @admin.display(description="strike", ordering="strike")
    def strike_price(self, instrument: Instrument) -> str | None:
        return None if instrument.strike is None else f"{instrument.strike.normalize():f}"

    @admin.display(description="latest price")
    def latest_price(self, instrument: Instrument) -> str | None:
        latest = getattr(instrument, "latest", None)
        return None if latest is None else grouped(latest.price)

    @admin.display(description="volume")
    def volume(self, instrument: Instrument) -> str | None:
        volume = getattr(getattr(instrument, "latest", None), "volume", None)
        return None if volume is None else grouped(volume)

    @admin.display(description="name", ordering="name")
    def short_name(self, instrument: Instrument) -> str:
        return Truncator(instrument.name).chars(_NAME_LENGTH)

    @admin.display(description="type", ordering="instrument_type")
    def kind(self, instrument: Instrument) -> str:
        return instrument.instrument_type

    @admin.display(description="age")
    def price_age(self, instrument: Instrument) -> str | None:
        latest = getattr(instrument, "latest", None)
        return None if latest is None else age_text(time.time() - latest.timestamp / 1000)

    @admin.action(description="Activate selected instruments", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[Instrument]) -> None:
        number = instruments_set_active(instruments=queryset, active=True)
        messages.success(request, f"{number:,} instruments are active now.")

    @admin.action(description="Deactivate selected instruments", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[Instrument]) -> None:
        number = instruments_set_active(instruments=queryset, active=False)
        messages.success(request, f"{number:,} instruments are inactive now.")
