"""The in-process index of the instrument master: from any name to a key, without I/O."""

from instruments.keys import InstrumentKey


class InstrumentIndex:
    """Resolves names to instrument keys."""

    def resolve(self, name: str, *, segment: str = "") -> InstrumentKey:
        """Return the key of the one stream that a name means.

        Args:
            name: `RELIANCE`, `NSE:RELIANCE`, `NSE_EQ:RELIANCE`, a vendor's form of it.
            segment: a segment's code or alias that narrows a bare name.

        Raises:
            BadSymbol: the text can be no symbol.
        """
        return InstrumentKey.parse(f"{segment}:{name}" if segment else name)


index = InstrumentIndex()
