"""Bodies and answers of /api/watch-lists/."""

from typing import Any

from rest_framework import serializers

from instruments.errors import BadSymbol
from instruments.keys import MAX_SYMBOL_LENGTH, InstrumentKey
from quotes.screens.models import MAX_NAME_LENGTH, MAX_SYMBOLS

_LONGEST_SEGMENT = 16
_GREATEST_NUMBER = 2**31 - 1


class SymbolField(serializers.CharField):
    """A name as a subscription takes it: RELIANCE, NSE_EQ:M&M, NIFTY 50."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_SYMBOL_LENGTH + _LONGEST_SEGMENT + 1, **options)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        try:
            InstrumentKey.parse(text.partition(":")[2] or text)
        except BadSymbol as error:
            raise serializers.ValidationError(str(error)) from error
        return text


class WatchListBody(serializers.Serializer[Any]):
    """A watch list to be created."""

    name = serializers.CharField(max_length=MAX_NAME_LENGTH, help_text="Unique for the user.")
    symbols = serializers.ListField(
        child=SymbolField(),
        max_length=MAX_SYMBOLS,
        help_text="In the user's order, each once.",
    )

    def validate_name(self, name: str) -> str:
        if not name.isprintable():
            raise serializers.ValidationError("must have printable characters only")
        return name

    def validate_symbols(self, symbols: list[str]) -> list[str]:
        if len(set(symbols)) < len(symbols):
            raise serializers.ValidationError("each symbol must be there once")
        return symbols


class WatchListChange(WatchListBody):
    """A watch list that replaces one."""

    version = serializers.IntegerField(
        min_value=1,
        max_value=_GREATEST_NUMBER,
        help_text="Of the list that the change began from.",
    )


class VersionQuery(serializers.Serializer[Any]):
    version = serializers.IntegerField(
        min_value=1,
        max_value=_GREATEST_NUMBER,
        required=False,
        help_text="Deletes the list only if it is of this version.",
    )


class WatchListAnswer(serializers.Serializer[Any]):
    """A watch list."""

    id = serializers.IntegerField(source="pk")
    name = serializers.CharField()
    symbols = serializers.ListField(child=serializers.CharField())
    version = serializers.IntegerField(help_text="Grows by one with each change.")
    changed_at = serializers.DateTimeField(help_text="When it was last changed.")


class WatchListsAnswer(serializers.Serializer[Any]):
    lists = WatchListAnswer(many=True, help_text="The oldest first.")
