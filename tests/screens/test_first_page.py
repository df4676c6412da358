"""The first page in a real browser, on the real server: prices, errors, lost connections."""

import json
from collections.abc import Iterator

import pytest
from redis import Redis

from quotes.publish.publishing import publish_ticks
from quotes.runtime.clock import now_ms
from quotes.ticks import Tick
from tests.chromium import Chromium
from tests.site import Site
from tests.valkey import ValkeyProcess
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with Chromium() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Chromium) -> Iterator[Chromium]:
    chromium.errors.clear()
    yield chromium
    chromium.open("about:blank")


@pytest.fixture(scope="module")
def redis(chromium: Chromium, redis_server: ValkeyProcess) -> Iterator[Redis]:
    """A client of a server that is empty before the first test: each has symbols of its own."""
    redis_server.start()
    with Redis.from_url(redis_server.url, socket_timeout=5) as client:
        client.flushall()
        yield client


@pytest.fixture(scope="module")
def processes(redis: Redis) -> Iterator[Site]:
    with Site(redis) as one:
        yield one


@pytest.fixture
def site(browser: Chromium, processes: Site) -> Site:
    """Bridge and web server, started again if a test left one down."""
    processes.start_all()
    return processes


def publish(redis: Redis, symbol: str, price: str) -> None:
    publish_ticks([Tick(symbol, price, now_ms())], client=redis)


def cell(symbol: str, name: str) -> str:
    """Return the expression of a cell's text in the row of a symbol."""
    row = f"[...rows.children].find((row) => row.children[0].textContent === {json.dumps(symbol)})"
    return f"{row}?.querySelector('.{name}').textContent"


def state(name: str) -> str:
    return f"document.querySelector('#state').dataset.state === {json.dumps(name)}"


def test_prices_change_to_the_digit(browser: Chromium, site: Site, redis: Redis) -> None:
    """A symbol that is typed shows its price with the digits sent, and each change of it."""
    publish(redis, "AAPL", "100.50")
    browser.open(f"{site.url}#M%26M")
    browser.wait_for(f"{cell('M&M', 'price')} === 'waiting for its first price'")
    browser.type("#symbols", "AAPL, NIFTY 50")
    browser.wait_for(f"{cell('AAPL', 'price')} === '100.50'")
    assert browser.evaluate(cell("AAPL", "change")) == ""
    publish(redis, "AAPL", "101.250")
    browser.wait_for(f"{cell('AAPL', 'price')} === '101.250'")
    assert browser.evaluate(cell("AAPL", "change")) == "+0.750"
    assert browser.evaluate(state("live"))
    publish(redis, "AAPL", "99.05")
    browser.wait_for(f"{cell('AAPL', 'change')} === '−2.200'")
    publish(redis, "NIFTY 50", "123456789012345.1234567890123")
    browser.wait_for(f"{cell('NIFTY 50', 'price')} === '123456789012345.1234567890123'")
    assert browser.evaluate(cell("NIFTY 50", "age")) in ("now", "1 s ago", "2 s ago")
    assert browser.evaluate("location.hash") == "#M%26M,AAPL,NIFTY%2050"
    assert browser.errors == []


def test_symbols_leave_and_return_by_the_address(
    browser: Chromium, site: Site, redis: Redis
) -> None:
    """The button unsubscribes; the address holds what is left and, when edited, is followed."""
    browser.open(f"{site.url}#TCS,L%26T")
    browser.wait_for(f"{cell('L&T', 'price')} === 'waiting for its first price'")
    browser.evaluate("document.querySelector('[aria-label=\"Unsubscribe TCS\"]').click()")
    browser.wait_for("location.hash === '#L%26T'")
    publish(redis, "TCS", "1")
    publish(redis, "L&T", "2")
    browser.wait_for(f"{cell('L&T', 'price')} === '2'")
    assert browser.evaluate("rows.children.length") == 1
    browser.evaluate("location.hash = '#TCS'")
    browser.wait_for(f"{cell('TCS', 'price')} === '1'")
    assert browser.evaluate("rows.children.length") == 1
    assert browser.errors == []


def test_errors_are_shown_in_words(browser: Chromium, site: Site, redis: Redis) -> None:
    """What is no symbol is said in words in its row, and markup in a symbol stays text."""
    markup = "<img src=x onerror=hacked=1>"
    browser.open(site.url)
    browser.type("#symbols", f"*, {markup}")
    browser.wait_for(f"{cell('*', 'price')}?.startsWith('not a symbol')")
    browser.wait_for(f"{cell(markup, 'price')} === 'waiting for its first price'")
    publish(redis, markup, "5.00")
    browser.wait_for(f"{cell(markup, 'price')} === '5.00'")
    notice = browser.evaluate("document.querySelector('#notice').textContent")
    assert "*: not a symbol" in notice
    assert browser.evaluate("document.querySelectorAll('img').length + typeof hacked") == (
        "0undefined"
    )
    assert browser.errors == []
    # Even if markup got into the page, its policy would not let a script run.
    browser.evaluate(
        "(() => { const one = document.createElement('script');"
        "one.textContent = 'window.hacked = 1'; document.body.append(one); })()"
    )
    wait_until(lambda: browser.evaluate("typeof window.hacked") and browser.errors)
    assert browser.evaluate("typeof window.hacked") == "undefined"
    assert "Content Security Policy" in browser.errors[0]


def test_killed_server_is_found_again(browser: Chromium, site: Site, redis: Redis) -> None:
    """A server that dies and comes back is reconnected to, and prices flow again."""
    publish(redis, "INFY", "100.50")
    browser.open(f"{site.url}#INFY")
    browser.wait_for(f"{cell('INFY', 'price')} === '100.50'")
    site.kill("web")
    browser.wait_for(state("waiting"))
    browser.wait_for("/^Reconnecting in \\d+ s$/.test(document.querySelector('.pill').textContent)")
    publish(redis, "INFY", "101.00")
    site.start_web()
    browser.wait_for(f"{cell('INFY', 'price')} === '101.00'")
    publish(redis, "INFY", "102.00")
    browser.wait_for(f"{cell('INFY', 'price')} === '102.00'")
    assert browser.evaluate(cell("INFY", "change")) == "+1.00"
    assert browser.evaluate(state("live"))


def test_lost_feed_is_shown(browser: Chromium, site: Site, redis: Redis) -> None:
    """Without a bridge the page says that the feed is down, and when it is back."""
    publish(redis, "SBIN", "100.50")
    browser.open(f"{site.url}#SBIN")
    browser.wait_for(f"{cell('SBIN', 'price')} === '100.50'")
    site.kill("bridge")
    browser.wait_for(state("down"))
    assert "gets no prices" in browser.evaluate(
        "document.querySelector('#state-detail').textContent"
    )
    site.start_bridge()
    browser.wait_for(f"{state('quiet')} || {state('live')}")
    publish(redis, "SBIN", "100.55")
    browser.wait_for(f"{cell('SBIN', 'change')} === '+0.05'")
    assert browser.evaluate(state("live"))


def test_numbers_are_read_as_text(browser: Chromium, site: Site) -> None:
    """The reader of frames finds the price's digits wherever JSON lets them stand."""
    browser.open(site.url)
    frames = {
        '{"symbol":"A","price":189.450,"timestamp":1}': "189.450",
        ' { "price" : 1e5 , "symbol":"A"}': "1e5",
        '{"price":-0.10}': "-0.10",
        '{"a":{"price":1},"b":[{"price":2},"price",3],"price":4.0}': "4.0",
        '{"a":"\\"price\\":9,","price":5}': "5",
        '{"price":1,"price":2.0}': "2.0",
        '{"pr\\u0069ce":7.70}': "7.70",
        '{"price":"6"}': '"6"',
        '{"a":"price","b":1}': None,
        '{"price":1,"price":{"price":2}}': None,
    }
    module = f"import('{site.url}static/screens/frames.js')"
    for text, expected in frames.items():
        found = browser.evaluate(f"{module}.then((m) => m.memberText({json.dumps(text)}, 'price'))")
        assert found == expected, text
    for after, before, expected in [
        ("101.250", "100.50", "0.750"),
        ("0.05", "0.10", "-0.05"),
        ("-37.63", "10", "-47.63"),
        ("5", "5.00", "0.00"),
        ("123456789012345678.9", "123456789012345678.8", "0.1"),
        ("1e3", "1", "999"),
    ]:
        call = f"m.difference({json.dumps(after)}, {json.dumps(before)})"
        assert browser.evaluate(f"{module}.then((m) => {call})") == expected
    assert browser.errors == []


# Answers as with a master, which the site of these tests has not.
WITH_MASTER = """
  const parse = JSON.parse;
  JSON.parse = (text, ...more) => {
    const frame = parse(text, ...more);
    if (frame?.type === "subscribed" && frame.symbols.includes("RELIANC")) {
      frame.known = false;
      frame.unknown = [{ symbol: "RELIANC", suggestions: ["ITC", "TCS"] }];
    }
    return frame;
  };
"""


def test_unknown_name_offers_what_may_be_meant(browser: Chromium, site: Site, redis: Redis) -> None:
    """A misspelled name shows suggestions; a click on one subscribes to it instead."""
    publish(redis, "ITC", "100.50")
    script = browser.command("Page.addScriptToEvaluateOnNewDocument", source=WITH_MASTER)
    try:
        browser.open(f"{site.url}#RELIANC")
        browser.wait_for(f"{cell('RELIANC', 'price')}.includes('did you mean ITC')")
        browser.evaluate("document.querySelector('.suggestion').click()")
        browser.wait_for(f"{cell('ITC', 'price')} === '100.50'")
        assert browser.evaluate("location.hash") == "#ITC"
        assert browser.evaluate("rows.children.length") == 1
    finally:
        browser.command("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])


def test_name_in_another_case_shows_its_price(browser: Chromium, site: Site, redis: Redis) -> None:
    """The row of `msft` shows the prices of MSFT, and stays the only one."""
    publish(redis, "MSFT", "100.50")
    wait_until(lambda: redis.hexists("quotes:latest", "MSFT"))
    browser.open(f"{site.url}#msft")
    browser.wait_for(f"{cell('msft', 'price')} === '100.50'")
    assert browser.evaluate("rows.children.length") == 1
