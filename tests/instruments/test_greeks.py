"""Implied volatility and greeks agree with textbooks, with each other and with differences."""

from math import erf, exp, log, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.greeks import Terms, greeks, greeks_at, implied_volatility, value

# J. C. Hull, Options, Futures and Other Derivatives: the examples on Black-Scholes (42, 40), on
# greeks (49, 50) and on Black's model (20, 20). Then E. G. Haug, The Complete Guide to Option
# Pricing Formulas: Black-76 (19, 19).
SHARE = Terms(True, 42, 40, 0.5, 0.1, 0.1)
HEDGED = Terms(True, 49, 50, 0.3846, 0.05, 0.05)
CRUDE = Terms(False, 20, 20, 4 / 12, 0.09)
BRENT = Terms(True, 19, 19, 0.75, 0.10)


@pytest.mark.parametrize(
    ("terms", "volatility", "price"),
    [
        (SHARE, 0.2, 4.76),
        (SHARE._replace(is_call=False), 0.2, 0.81),
        (CRUDE, 0.25, 1.12),
        (BRENT, 0.28, 1.70),
        (BRENT._replace(is_call=False), 0.28, 1.70),
    ],
)
def test_values_are_those_of_textbooks(terms: Terms, volatility: float, price: float) -> None:
    """The value of an option is that which textbooks print."""
    assert value(terms, volatility) == pytest.approx(price, abs=0.005)


def test_greeks_are_those_of_a_textbook() -> None:
    """Hull's example has them per year and per 1.00 of volatility."""
    found = greeks_at(HEDGED, 0.2)
    assert found.delta == pytest.approx(0.522, abs=0.0005)
    assert found.gamma == pytest.approx(0.066, abs=0.0005)
    assert found.theta * 365 == pytest.approx(-4.31, abs=0.005)
    assert found.vega * 100 == pytest.approx(12.1, abs=0.05)


def plain_black(terms: Terms, volatility: float) -> float:
    """Value an option as the formula is written: undiscounted on the forward, then discounted."""
    forward = terms.underlying * exp(terms.carry * terms.years)
    spread = volatility * sqrt(terms.years)
    d1 = log(forward / terms.strike) / spread + spread / 2

    def normal(x: float) -> float:
        return 0.5 * (1 + erf(x / sqrt(2)))

    call = forward * normal(d1) - terms.strike * normal(d1 - spread)
    gain = call if terms.is_call else call - forward + terms.strike
    return exp(-terms.rate * terms.years) * gain


rates = st.floats(0, 0.15)
terms_of_options = st.builds(
    lambda is_call, underlying, moneyness, years, rate, is_future: Terms(
        is_call,
        underlying,
        underlying * exp(moneyness),
        years,
        rate,
        0.0 if is_future else rate,
    ),
    st.booleans(),
    st.floats(5, 50_000),
    st.floats(-0.4, 0.4),
    st.floats(1 / (365 * 24), 3),
    rates,
    st.booleans(),
)
volatilities = st.floats(0.03, 4)


@given(terms_of_options, volatilities)
def test_value_is_that_of_the_plain_formula(terms: Terms, volatility: float) -> None:
    """Another way to write the formula gives the same value."""
    assert value(terms, volatility) == pytest.approx(
        plain_black(terms, volatility), abs=1e-9 * terms.underlying
    )


@given(terms_of_options, volatilities)
def test_implied_volatility_gives_the_price_back(terms: Terms, volatility: float) -> None:
    """An option is worth its price at the volatility that the price implies."""
    price = value(terms, volatility)
    found = implied_volatility(terms, price)
    if found is None:  # the price has no time value that its digits show
        assert price - value(terms, 0.001) < 1e-8 * terms.underlying
    else:
        assert value(terms, found) == pytest.approx(price, abs=1e-10 * terms.underlying)
        if greeks_at(terms, volatility).vega > 1e-6 * terms.underlying:
            assert found == pytest.approx(volatility, rel=1e-6)


@given(terms_of_options, st.floats(0.1, 1))
def test_greeks_are_differences_of_values(terms: Terms, volatility: float) -> None:
    """Each greek is by how much the value changes if one thing does."""
    found = greeks_at(terms, volatility)
    spot, years = terms.underlying, terms.years
    near = 2e-4 * spot
    step = 1e-4 * spot
    up, down = (terms._replace(underlying=spot + by) for by in (step, -step))
    assert found.delta == pytest.approx(
        (value(up, volatility) - value(down, volatility)) / (2 * step), abs=1e-3
    )
    curve = greeks_at(up, volatility).delta - greeks_at(down, volatility).delta
    assert found.gamma * spot == pytest.approx(curve / (2 * step) * spot, rel=0.02, abs=1e-3)
    assert found.vega * 100 == pytest.approx(
        (value(terms, volatility + 1e-4) - value(terms, volatility - 1e-4)) / 2e-4,
        rel=2e-3,
        abs=near,
    )
    later, sooner = (terms._replace(years=years * by) for by in (1 - 1e-4, 1 + 1e-4))
    a_year = (value(later, volatility) - value(sooner, volatility)) / (2e-4 * years)
    assert found.theta * 365 == pytest.approx(a_year, rel=2e-3, abs=near)


@given(terms_of_options, volatilities)
def test_call_and_put_differ_by_a_forward(terms: Terms, volatility: float) -> None:
    """The deltas differ by that of the forward, gamma and vega are equal."""
    call = greeks_at(terms._replace(is_call=True), volatility)
    put = greeks_at(terms._replace(is_call=False), volatility)
    forward = exp((terms.carry - terms.rate) * terms.years)
    assert call.delta - put.delta == pytest.approx(forward)
    assert (call.gamma, call.vega) == pytest.approx((put.gamma, put.vega))


anything = st.floats(allow_nan=True, allow_infinity=True)


@given(st.booleans(), anything, anything, anything, st.floats(0, 1e6), anything)
def test_no_number_is_too_odd(
    is_call: bool, underlying: float, strike: float, years: float, rate: float, price: float
) -> None:
    """Prices, strikes and times out of range have no greeks, and raise nothing."""
    for carry in (0.0, rate):
        found = greeks(Terms(is_call, underlying, strike, years, rate, carry), price)
        assert found is None or found.volatility > 0


@pytest.mark.parametrize(
    ("terms", "price"),
    [
        (Terms(True, 24_000, 23_000, 0.1, 0.0), 999.0),  # below the intrinsic value
        (Terms(True, 24_000, 23_000, 0.1, 0.0), 1000.0),  # the intrinsic value alone
        (Terms(False, 24_000, 25_000, 0.1, 0.0), 1000.0),
        (Terms(True, 24_000, 24_000, 0.1, 0.0), 24_000.0),  # no volatility is enough
        (Terms(True, 24_000, 24_000, 0.0, 0.065), 10.0),  # expired
        (Terms(True, 24_000, 24_000, -0.01, 0.065), 10.0),
        (Terms(True, -37.63, 10, 0.1, 0.065), 1.0),  # crude oil, once
        (Terms(True, 24_000, 24_000, 0.1, 0.065), 0.0),
    ],
)
def test_prices_that_no_volatility_gives(terms: Terms, price: float) -> None:
    """They have no greeks."""
    assert greeks(terms, price) is None
