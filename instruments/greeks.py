"""Implied volatility and greeks of European options, by Black's formula; pure.

One formula covers both models. With a future as the underlying it is Black-76; with a spot, which
is expected to grow by the interest rate, it is Black-Scholes without dividends. Options on shares
and indices in India, and those on futures at MCX, are European.

Rates and volatilities are yearly, as fractions. Time is in years of 365 days.
"""

from math import erfc, exp, inf, isfinite, log, pi, sqrt
from typing import NamedTuple

_DAYS_A_YEAR = 365
_MAX_VOLATILITY = 10.0  # 1,000 % a year
_MIN_VOLATILITY = 1e-4
# Of the underlying: a smaller value over the intrinsic one has no digits that a price still shows.
_MIN_TIME_VALUE = 1e-9
_STEPS = 100  # a bisection of the range to the last bit takes fewer


class Terms(NamedTuple):
    """What an option's value depends on besides the volatility.

    Attributes:
        is_call: whether it is a call, or else a put.
        underlying: the price of the future or the spot, in rupees, above 0.
        strike: in rupees, above 0.
        years: to the expiry, above 0.
        rate: the interest rate without risk, compounded continuously.
        carry: by how much the underlying is expected to grow: 0 for a future, the rate for a spot.
    """

    is_call: bool
    underlying: float
    strike: float
    years: float
    rate: float
    carry: float = 0.0


class Greeks(NamedTuple):
    """How an option's value changes, each for one option on one unit of the underlying.

    Attributes:
        volatility: the implied volatility, of a year.
        delta: rupees per rupee of the underlying.
        gamma: delta per rupee of the underlying.
        theta: rupees per calendar day that passes; mostly negative.
        vega: rupees per point of volatility, from 15 % to 16 %.
    """

    volatility: float
    delta: float
    gamma: float
    theta: float
    vega: float


def value(terms: Terms, volatility: float) -> float:
    """Return what an option is worth, in rupees."""
    sign = 1 if terms.is_call else -1
    d1, d2 = _distances(terms, volatility)
    grown, discount = _factors(terms)
    return sign * (
        terms.underlying * grown * _normal(sign * d1) - terms.strike * discount * _normal(sign * d2)
    )


def greeks(terms: Terms, price: float) -> Greeks | None:
    """Return an option's greeks at the volatility that its price implies.

    None if no volatility gives the price: it is below the intrinsic value, or too high.
    """
    volatility = implied_volatility(terms, price)
    return None if volatility is None else greeks_at(terms, volatility)


def greeks_at(terms: Terms, volatility: float) -> Greeks:
    """Return an option's greeks at a volatility."""
    sign = 1 if terms.is_call else -1
    underlying, strike, years, rate = terms.underlying, terms.strike, terms.years, terms.rate
    d1, d2 = _distances(terms, volatility)
    grown, discount = _factors(terms)
    density = exp(-d1 * d1 / 2) / sqrt(2 * pi)
    held, paid = underlying * grown * _normal(sign * d1), strike * discount * _normal(sign * d2)
    decay = underlying * grown * density * volatility / (2 * sqrt(years))
    a_year = -decay - sign * ((terms.carry - rate) * held + rate * paid)
    return Greeks(
        volatility=volatility,
        delta=sign * grown * _normal(sign * d1),
        gamma=grown * density / (underlying * volatility * sqrt(years)),
        theta=a_year / _DAYS_A_YEAR,
        vega=underlying * grown * density * sqrt(years) / 100,
    )


def implied_volatility(terms: Terms, price: float) -> float | None:
    """Return the volatility at which an option is worth a price.

    None if there is none: the price is not above the intrinsic value, or needs more than 1,000 %;
    or the terms or the price are out of range.
    """
    numbers = (price, terms.underlying, terms.strike, terms.years)
    if not all(isfinite(number) and number > 0 for number in numbers):
        return None
    grown, discount = _factors(terms)
    worth, paid = terms.underlying * grown, terms.strike * discount
    if not (worth > 0 and paid > 0 and 0 < worth / paid < inf):
        return None
    # The option out of the money has the time value alone: in the money, a price's last digits
    # would drown in the intrinsic value. Both sides have the same volatility.
    ahead = worth - paid
    is_in_the_money = ahead > 0 if terms.is_call else ahead < 0
    if is_in_the_money:
        terms = terms._replace(is_call=not terms.is_call)
        price -= abs(ahead)
    if price <= _MIN_TIME_VALUE * terms.underlying:
        return None
    low, high = _MIN_VOLATILITY, _MAX_VOLATILITY
    if not value(terms, low) < price < value(terms, high):
        return None
    # Newton's steps from where the value is steepest, as long as they stay within what is known.
    guess = sqrt(2 * abs(log(worth / paid)) / terms.years)
    guess = min(max(guess, 0.2), high / 2)
    for _ in range(_STEPS):
        excess = value(terms, guess) - price
        if excess > 0:
            high = guess
        else:
            low = guess
        d1, _d2 = _distances(terms, guess)
        slope = worth * exp(-d1 * d1 / 2) / sqrt(2 * pi) * sqrt(terms.years)
        following = guess - excess / slope if slope > 0 else 0.0
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - guess) <= 1e-12 * guess or excess == 0:
            return following if excess else guess
        guess = following
    return guess


def _distances(terms: Terms, volatility: float) -> tuple[float, float]:
    """Return d1 and d2."""
    spread = volatility * sqrt(terms.years)
    d1 = (log(terms.underlying / terms.strike) + terms.carry * terms.years) / spread + spread / 2
    return d1, d1 - spread


def _factors(terms: Terms) -> tuple[float, float]:
    """Return the present value of a unit of the underlying, and of a rupee, at the expiry."""
    return exp((terms.carry - terms.rate) * terms.years), exp(-terms.rate * terms.years)


def _normal(x: float) -> float:
    """Return the standard normal distribution function; exact far out, too."""
    return erfc(-x / sqrt(2)) / 2
