"""The simulated market: prices that move like those of an exchange, on their tick sizes.

Pure: no I/O and no clock of its own. One market factor and one of the banks move all shares, each
share moves by itself besides; indices are computed from their shares, futures follow with a carry,
options by Black's formula. Instruments trade at random moments, busy ones more often.

What floats compute is rounded to whole ticks; every number that is published is a whole number of
tick sizes, exactly.
"""

import heapq
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from random import Random

from quotes.depth import MAX_LEVELS
from quotes.publish.simulation.instruments import (
    BANK_LEVEL,
    NIFTY_LEVEL,
    SHARES,
    SimulatedInstrument,
    simulated_instruments,
)
from quotes.runtime.clock import date_of
from quotes.ticks import DEPTH_FIELD, Tick, joined

TRADING_S = 6.25 * 3600
# Standard deviations of a trading day's change, as fractions of the price.
MARKET_DAY, BANKS_DAY, OWN_DAY, OVERNIGHT = 0.009, 0.005, 0.010, 0.006
# Prices return to their start within about a day, so that none drifts away in a month.
RETURN_PER_S = 1 / TRADING_S
CARRY_PER_YEAR = 0.065
VOLATILITY_PER_YEAR = 0.13
PAISA = Decimal("0.01")
MAX_STEP_S = 1.0
_STATE = frozenset({"open", "high", "low", "prev_close", "volume", "avg_price", "oi"})


class SimulatedMarket:
    """A market that never closes; a new day begins at midnight IST. For one thread.

    Args:
        day: the IST date with which it begins.
        rate: ticks per second, on average, over all instruments.
        symbols: only these trade; all when None.
        seed: the same seed, days and steps give the same ticks.
        moves: how far the shares are from their invented prices at first: log of growth.
        closes: returns the previous close of an instrument on the first day, in tick sizes; made up
            when None.

    Raises:
        ValueError: the market does not have a symbol; the text lists those it has.
    """

    def __init__(
        self,
        day: date,
        *,
        rate: float,
        symbols: Collection[str] | None = None,
        seed: int | None = None,
        moves: Mapping[str, float] | None = None,
        closes: Callable[[SimulatedInstrument], int] | None = None,
    ) -> None:
        self.random = Random(seed)  # noqa: S311
        self.rate = rate
        self.symbols = None if symbols is None else set(symbols)
        self.moves = {share.symbol: (moves or {}).get(share.symbol, 0.0) for share in SHARES}
        self.spots = {
            share.symbol: share.price * math.exp(self.moves[share.symbol]) for share in SHARES
        }
        self._closes = closes or self._made_up_close
        self._update_indices()
        self.clock = 0.0
        self.quotes: dict[str, SimulatedQuote] = {}
        self.due: list[tuple[float, str]] = []  # heap of times and symbols
        self.open_day(day)

    def open_day(self, day: date) -> None:
        """Begin a day: yesterday's last prices become the previous close, volumes start over."""
        self.day = day
        listed = {one.symbol: one for one in simulated_instruments(day)}
        if self.symbols is not None and (unknown := self.symbols - listed.keys()):
            available = ", ".join(listed)
            raise ValueError(
                f"not simulated: {', '.join(sorted(unknown))}; use --symbols of {available}"
            )
        before, self.quotes = self.quotes, {}
        for symbol, instrument in listed.items():
            if self.symbols is None or symbol in self.symbols:
                close = before[symbol].last if symbol in before else self._closes(instrument)
                self.quotes[symbol] = SimulatedQuote(instrument, prev_close=close)
        busy = sum(quote.instrument.busy for quote in self.quotes.values())
        self.due = [
            (self.clock + self.random.expovariate(self.rate * quote.instrument.busy / busy), symbol)
            for symbol, quote in self.quotes.items()
        ]
        self.mean_wait_s = {
            symbol: busy / quote.instrument.busy / self.rate
            for symbol, quote in self.quotes.items()
        }
        heapq.heapify(self.due)

    def resume(self, ticks: Iterable[Tick]) -> None:
        """Go on from the last ticks of a market that ran before on this day.

        Prices go on from them, and volumes rise on, as an exchange's do. Ticks of other days or
        symbols, and those of another publisher, which lack fields, are ignored.
        """
        for tick in ticks:
            quote = self.quotes.get(tick.symbol)
            if quote is None or date_of(tick.timestamp) != self.day or not quote.resume(tick):
                continue
            if tick.symbol in self.moves:
                share = self.spots[tick.symbol] / math.exp(self.moves[tick.symbol])
                self.moves[tick.symbol] = math.log(float(tick.price) / share)
                self.spots[tick.symbol] = float(tick.price)
        self._update_indices()

    def _made_up_close(self, instrument: SimulatedInstrument) -> int:
        price = self.fair_price(instrument) * math.exp(self.random.gauss(0, OVERNIGHT))
        return on_tick(price, instrument)

    def advance(self, seconds: float, *, timestamp: int) -> list[Tick]:
        """Let time pass and return the ticks of the trades meanwhile.

        Args:
            seconds: how long; more than a second counts as one, so a pause makes no burst.
            timestamp: Unix milliseconds of the ticks.
        """
        day = date_of(timestamp)
        if day != self.day:
            self.open_day(day)
        seconds = min(seconds, MAX_STEP_S)
        self.clock += seconds
        self.move(seconds)
        ticks = []
        while self.due[0][0] <= self.clock:
            at, symbol = self.due[0]
            wait = self.random.expovariate(1 / self.mean_wait_s[symbol])
            heapq.heapreplace(self.due, (at + wait, symbol))
            quote = self.quotes[symbol]
            quote.trade(self.fair_price(quote.instrument), self.random)
            ticks.append(quote.tick(timestamp))
        return ticks

    def opening(self, *, timestamp: int) -> list[Tick]:
        """Return a first trade of each instrument, so that all have a price from the beginning."""
        ticks = []
        for quote in self.quotes.values():
            quote.trade(self.fair_price(quote.instrument), self.random)
            ticks.append(quote.tick(timestamp))
        return ticks

    def move(self, seconds: float) -> None:
        scale = math.sqrt(seconds / TRADING_S)
        market = self.random.gauss(0, MARKET_DAY * scale)
        banks = self.random.gauss(0, BANKS_DAY * scale)
        keep = 1 - RETURN_PER_S * seconds
        for share in SHARES:
            own = self.random.gauss(0, OWN_DAY * scale)
            move = self.moves[share.symbol] * keep + market + own + (banks if share.bank else 0)
            self.moves[share.symbol] = move
            self.spots[share.symbol] = share.price * math.exp(move)
        self._update_indices()

    def _update_indices(self) -> None:
        """Compute the indices from their shares."""
        for index, base, weights in (
            ("NIFTY 50", NIFTY_LEVEL, NIFTY_WEIGHTS),
            ("NIFTY BANK", BANK_LEVEL, BANK_WEIGHTS),
        ):
            growth = sum(
                weight * math.exp(self.moves[symbol]) for symbol, weight in weights.items()
            )
            self.spots[index] = base * growth

    def fair_price(self, instrument: SimulatedInstrument) -> float:
        spot = self.spots[instrument.underlying]
        if instrument.expiry is None:
            return spot
        years = (instrument.expiry - self.day).days / 365
        forward = spot * math.exp(CARRY_PER_YEAR * years)
        if instrument.kind == "FUT":
            return forward
        return black(forward, instrument.strike, years, call=instrument.kind == "CE")


class SimulatedQuote:
    """The state of one instrument on one day; prices are counted in tick sizes."""

    def __init__(self, instrument: SimulatedInstrument, *, prev_close: int) -> None:
        self.instrument = instrument
        self.prev_close = self.last = prev_close
        self.open = self.high = self.low = 0
        self.bid = self.ask = self.bid_qty = self.ask_qty = self.last_qty = 0
        self.volume = self.value = 0
        self.oi = (
            instrument.volume // 3 // instrument.lot * instrument.lot if instrument.expiry else 0
        )

    def resume(self, tick: Tick) -> bool:
        """Take the day's state from a tick; return False if it lacks some of it."""
        size = self.instrument.tick_size
        try:
            values = {
                name: Decimal(text.decode()) for name, text in tick.fields.items() if name in _STATE
            }
            opened, high, low, close = (
                round(values[name] / size) for name in ("open", "high", "low", "prev_close")
            )
            if self.instrument.lot:
                volume = int(values["volume"])
                self.value = round(values["avg_price"] * volume / size)
                self.volume = volume
            if self.instrument.expiry:
                self.oi = int(values["oi"])
        except (KeyError, ArithmeticError, ValueError):
            return False
        self.open, self.high, self.low, self.prev_close = opened, high, low, close
        self.last = round(tick.price / size)
        return True

    def trade(self, fair: float, random: Random) -> None:
        """Trade at the tick next to the fair price; an index takes it as its value."""
        instrument = self.instrument
        last = self.last = on_tick(fair, instrument)
        self.open = self.open or last
        self.high = max(self.high, last)
        self.low = min(self.low or last, last)
        if not instrument.lot:
            return
        # A trade above the fair price took the best offer, one below it the best bid.
        self.ask = max(last if last * instrument.tick_size > Decimal(fair) else last + 1, 2)
        self.bid = self.ask - 1
        typical = max(1.0, instrument.volume / TRADING_S / instrument.lot)
        lots = 1 + int(random.expovariate(1 / typical))
        self.last_qty = lots * instrument.lot
        self.bid_qty, self.ask_qty = (
            instrument.lot * (1 + int(random.expovariate(1 / (8 * typical)))) for _ in range(2)
        )
        self.volume += self.last_qty
        self.value += self.last_qty * last
        if instrument.expiry:
            self.oi = max(0, self.oi + random.choice((-1, 0, 0, 1)) * self.last_qty)

    def tick(self, timestamp: int) -> Tick:
        """Return the last trade and the state of the day as a tick."""
        size = self.instrument.tick_size
        traded = self.instrument.lot > 0
        fields = {"volume": b"%d" % self.volume} if traded else {}
        prices = {
            "open": self.open,
            "high": self.high,
            "low": self.low,
            "prev_close": self.prev_close,
        }
        if traded:
            prices |= {"bid": self.bid, "ask": self.ask}
        for name, count in prices.items():
            fields[name] = str(count * size).encode()
        if traded:
            average = (self.value * size / self.volume).quantize(PAISA, ROUND_HALF_EVEN)
            fields["bid_qty"] = b"%d" % self.bid_qty
            fields["ask_qty"] = b"%d" % self.ask_qty
            fields["last_qty"] = b"%d" % self.last_qty
            fields["avg_price"] = str(average).encode()
            fields |= self._waiting(timestamp)
        if self.instrument.expiry:
            fields["oi"] = b"%d" % self.oi
        return Tick(self.instrument.symbol, str(self.last * size), timestamp, "", joined(fields))

    def _waiting(self, timestamp: int) -> dict[str, bytes]:
        """Return the fields of the orders that wait around the last trade."""
        size, lot = self.instrument.tick_size, self.instrument.lot

        def side(price: int, quantity: int, step: int) -> tuple[bytes, int]:
            entries, waiting = [], 0
            text = b'{"price":%b,"quantity":%d,"orders":%d}'
            for level in range(MAX_LEVELS if step > 0 else min(MAX_LEVELS, price)):
                # The first entry is the best bid or offer; the others differ, without a pattern.
                lots = quantity // lot + (quantity // lot * 7 + level * 5) % 11 * min(level, 1)
                at = str((price + level * step) * size).encode()
                entries.append(text % (at, lots * lot, 1 + lots // 3))
                waiting += lots * lot
            return b",".join(entries), waiting

        buy, buy_qty = side(self.bid, self.bid_qty, -1)
        sell, sell_qty = side(self.ask, self.ask_qty, 1)
        return {
            # Most orders wait further away.
            "buy_qty": b"%d" % (buy_qty * 12),
            "sell_qty": b"%d" % (sell_qty * 12),
            "last_trade_time": b"%d" % timestamp,
            DEPTH_FIELD: b'{"buy":[%b],"sell":[%b]}' % (buy, sell),
        }


def on_tick(price: float, instrument: SimulatedInstrument) -> int:
    """Return the number of tick sizes nearest to a price: at least one."""
    return max(1, round(price / float(instrument.tick_size)))


def black(forward: float, strike: float, years: float, *, call: bool) -> float:
    """Return the fair price of a European option on a forward, undiscounted (Black 1976)."""
    spread = VOLATILITY_PER_YEAR * math.sqrt(years)
    d1 = math.log(forward / strike) / spread + spread / 2
    d2 = d1 - spread
    sign = 1 if call else -1
    return sign * (forward * normal(sign * d1) - strike * normal(sign * d2))


def normal(x: float) -> float:
    """Return the standard normal distribution's probability of less than x."""
    return (1 + math.erf(x / math.sqrt(2))) / 2


def shares_of(weights: dict[str, float]) -> dict[str, float]:
    whole = sum(weights.values())
    return {symbol: weight / whole for symbol, weight in weights.items() if weight}


NIFTY_WEIGHTS = shares_of({share.symbol: share.nifty for share in SHARES})
BANK_WEIGHTS = shares_of({share.symbol: share.bank for share in SHARES})
