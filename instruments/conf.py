"""Typed settings: the descriptor that reads one, and the settings of the instruments app."""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar, overload

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")

TRUE = ("1", "true", "yes", "on")
FALSE = ("0", "false", "no", "off", "")


class Setting(Generic[T]):
    """One Django setting with a type, a default, bounds and a sentence of documentation.

    The value may be the text of an environment variable. Reading it raises ImproperlyConfigured,
    with the setting's name and what it must be, when it is of the wrong kind or out of bounds.
    """

    def __init__(
        self,
        default: T,
        doc: str,
        *,
        least: float | None = None,
        choices: tuple[T, ...] = (),
    ) -> None:
        self.default = default
        self.least = least
        self.choices = choices
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = f"{owner.prefix}_{name.upper()}"  # type: ignore[attr-defined]

    @overload
    def __get__(self, instance: None, owner: type) -> "Setting[T]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> "Setting[T] | T":
        if instance is None:
            return self
        return self.parse(getattr(settings, self.name, self.default))

    def parse(self, value: Any) -> T:
        kind: Any = type(self.default)
        result: Any = value
        try:
            if kind is bool and isinstance(value, str):
                result = (FALSE + TRUE).index(value.strip().lower()) >= len(FALSE)
            else:
                result = kind(value)
        except (TypeError, ValueError):
            result = None
        if result is None:
            kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
            raise ImproperlyConfigured(f"{self.name} must be {kinds[kind]}, got {value!r}")
        if self.least is not None and not result >= self.least:
            raise ImproperlyConfigured(f"{self.name} must be at least {self.least}, got {value!r}")
        if self.choices and result not in self.choices:
            names = ", ".join(map(str, self.choices))
            raise ImproperlyConfigured(f"{self.name} must be one of {names}, got {value!r}")
        return result  # type: ignore[no-any-return]


class SettingsGroup:
    """A group of settings that share a prefix."""

    prefix: str
    alone = True  # no other app uses the prefix, so an unknown setting is a mistake

    def all(self) -> Iterator[Setting[Any]]:
        """Yield every setting of the group."""
        for value in vars(type(self)).values():
            if isinstance(value, Setting):
                yield value

    def problems(self) -> list[str]:
        """Return a sentence for each setting that is wrong or whose name nobody reads."""
        found = []
        names = set()
        for setting in self.all():
            names.add(setting.name)
            try:
                setting.__get__(self, type(self))
            except ImproperlyConfigured as error:
                found.append(str(error))
        if not self.alone:
            return found
        found_names = [name for name in dir(settings) if name.startswith(f"{self.prefix}_")]
        return found + [
            f"{name} is not a setting, see docs/settings.md"
            for name in found_names
            if name not in names
        ]


class InstrumentsSettings(SettingsGroup):
    prefix = "INSTRUMENTS"

    index_refresh_s = Setting(
        2.0,
        "Seconds between checks of each process for changes of the instrument master.",
        least=0.1,
    )
    follow_master = Setting(
        True, "Keep the instrument master in memory, so that any name of an instrument resolves."
    )
    latest_prices = Setting(
        "quotes.store.latest.latest_prices",
        "Dotted name of the function that returns latest prices to admin and REST.",
    )
    price_guard = Setting(
        "quotes.access.rest.permissions.allowed_keys",
        "Dotted name of the function that limits which prices REST shows; empty: no limit.",
    )
    names_in_history = Setting(
        "quotes.history.series_names.names_in_history",
        "Dotted name of the function that returns which instruments have history under other "
        "names, for the report of an import; empty: none.",
    )
    interest_rate = Setting(
        6.5,
        "Yearly interest rate without risk, in percent, by which options are valued.",
        least=0,
    )
    max_import_bytes = Setting(
        268435456, "Maximum unpacked size of an instrument file, in bytes.", least=1024
    )
    max_upload_bytes = Setting(
        67108864, "Maximum size of an instrument file uploaded in admin, in bytes.", least=1024
    )


conf = InstrumentsSettings()
