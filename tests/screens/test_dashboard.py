"""The dashboard in a real browser, on the real server: prices, lists, keys, lost connections."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect
from redis import Redis

from benchmarks.dashboard import Market, watch_page
from quotes.publish.publishing import publish_ticks
from quotes.runtime.clock import now_ms
from tests.access.deployment import MASTERS, Deployment
from tests.chromium import find_chromium
from tests.screens.browsing import DEADLINE_MS, Visit, started_browser
from tests.site import Site
from tests.ticks import tick
from tests.valkey import ValkeyProcess
from tests.waiting import DEADLINE_S, wait_until

# Processes and a browser start before the first test, on a machine that may be busy.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

expect.set_options(timeout=DEADLINE_MS)

PASSWORD = "a password of a test, 27"
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
# Faults of these kinds keep people out.
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    find_chromium()
    with started_browser() as one:
        yield one


@pytest.fixture(scope="module")
def redis(browser: Browser, redis_server: ValkeyProcess) -> Iterator[Redis]:
    """A client of a server that is empty before the first test: each has symbols of its own."""
    redis_server.start()
    with Redis.from_url(redis_server.url, socket_timeout=5) as client:
        client.flushall()
        yield client


@pytest.fixture(scope="module")
def deployment(
    redis: Redis, redis_server: ValkeyProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """A database with a small master, and Asha, who may see everything."""
    folder: Path = tmp_path_factory.mktemp("dashboard")
    with Deployment(folder, redis_server.url, INSTRUMENTS_FOLLOW_MASTER="true") as one:
        for path in MASTERS:
            one.do("call", "import_instruments", str(path))
        one.do("user", "asha", ["*"], [])
        one.do("set_password", "asha", PASSWORD)
        yield one


@pytest.fixture(scope="module")
def processes(redis: Redis, deployment: Deployment) -> Iterator[Site]:
    site = Site(redis)
    site.environment |= deployment.environment
    with site as one:
        yield one


@pytest.fixture
def site(processes: Site) -> Site:
    """Bridge and web server, started again if a test left one down."""
    processes.start_all()
    return processes


@pytest.fixture(scope="module")
def closed_site(processes: Site, redis: Redis) -> Iterator[Site]:
    """A web server that requires a log-in."""
    site = Site(redis)
    site.environment |= processes.environment | {
        "QUOTES_AUTH": "required",
        "HTTPS": "false",
    }
    site.start_web()
    try:
        wait_until(site.answers, timeout_s=60)
        yield site
    finally:
        site.stop()


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Visit]:
    one = Visit(browser)
    yield one
    one.close()
    assert one.errors == []


def publish(redis: Redis, symbol: str, price: str, **fields: Any) -> None:
    publish_ticks([tick(symbol, price, now_ms(), **fields)], client=redis)


def test_search_add_and_see_a_price(
    visit: Visit, site: Site, redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a bare start: search, add with Enter, and a published price is there."""
    visit.open(site.url)
    expect(visit.row("RELIANCE")).to_have_count(1)  # the symbols of the demo
    options = visit.search("chola")
    expect(options.first).to_contain_text("CHOLAFIN")
    expect(options.first).to_contain_text("NSE EQ")
    visit.press("Enter")
    visit.wait_for_note("CHOLAFIN", "waiting for its first price")
    publish(redis, "CHOLAFIN", "1234567.5", prev_close=1234500, volume=1234567)
    visit.wait_for_cell("CHOLAFIN", "price", "12,34,567.50")
    visit.page.evaluate(
        """() => {
          const cell = document.querySelector(".grid-space .row.active .c-price");
          new MutationObserver(() => { window.seenAt ??= Date.now(); })
            .observe(cell, { subtree: true, characterData: true, childList: true });
        }"""
    )
    began = time.time()
    publish(
        redis,
        "CHOLAFIN",
        "1234400.05",
        prev_close=1234500,
        volume=1234567,
        bid=1234400,
        ask=1234401.2,
    )
    visit.wait_for_cell("CHOLAFIN", "price", "12,34,400.05")
    took = visit.page.evaluate("window.seenAt") - began * 1000
    with capsys.disabled():
        print(f"\na price is on the page {took:.0f} ms after it was published")
    for column, text in {
        "change": "−99.95",
        "percent": "−0.01%",
        "bid": "12,34,400.00",
        "ask": "12,34,401.20",
        "volume": "12,34,567",
    }.items():
        assert visit.cell("CHOLAFIN", column).inner_text() == text
    assert visit.page.evaluate("location.hash").endswith(",NSE_EQ%3ACHOLAFIN")
    expect(visit.page.locator("#state")).to_contain_text("Live")


def test_prices_have_the_digits_that_were_published(visit: Visit, site: Site, redis: Redis) -> None:
    """No digit is lost or made up, whatever a double can hold."""
    publish(redis, "AAPL", "100.50")
    visit.open(f"{site.url}#M%26M,AAPL,BIG%20ONE")
    visit.wait_for_note("M&M", "waiting for its first price")
    visit.wait_for_cell("AAPL", "price", "100.50")
    assert visit.cell("AAPL", "change").inner_text() == ""
    publish(redis, "AAPL", "101.250")
    visit.wait_for_cell("AAPL", "price", "101.250")
    publish(redis, "BIG ONE", "123456789012345.1234567890123")
    visit.wait_for_cell("BIG ONE", "price", "12,34,56,78,90,12,345.1234567890123")
    assert visit.symbols() == ["M&M", "AAPL", "BIG ONE"]


def test_words_find_instruments_and_publishers_names(
    visit: Visit, site: Site, redis: Redis
) -> None:
    """Words of a company's name find its share; a name that only a publisher has is offered."""
    publish(redis, "OWNNAME", "5")
    visit.open(f"{site.url}#W0")
    expect(visit.search("cholamandalam fin").first).to_contain_text("CHOLAFIN")
    visit.press("Enter")
    expect(visit.row("CHOLAFIN")).to_have_count(1)
    expect(visit.search("OWNNAME").first).to_contain_text("OWNNAME")
    visit.press("Enter")
    visit.wait_for_cell("OWNNAME", "price", "5.00")
    # Nobody has this name: it is added as it was typed, before the suggestions are there.
    visit.add("notyet")
    visit.wait_for_note("notyet", "no instrument and no publisher has this name yet")
    publish(redis, "notyet", "7.25")
    visit.wait_for_cell("notyet", "price", "7.25")
    visit.add("CHOLAFIN")
    expect(visit.page.locator(".notice").last).to_contain_text("is in this list already")
    visit.add("X1, X2; X3")
    expect(visit.row("X3")).to_have_count(1)
    assert visit.symbols() == ["W0", "CHOLAFIN", "OWNNAME", "notyet", "X1", "X2", "X3"]


def test_keyboard_alone_does_everything(visit: Visit, site: Site, redis: Redis) -> None:
    """Search, go, order, remove, undo, help and panels need no pointer."""
    visit.open(f"{site.url}#K1,K2,K3")
    visit.wait_for_note("K3", "no instrument")
    visit.press("?")
    expect(visit.page.locator("#keys-dialog")).to_be_visible()
    visit.press("Escape")
    visit.page.locator("#grid").focus()
    visit.press("ArrowDown", "ArrowDown")
    active = "document.getElementById(document.querySelector('#grid').getAttribute("
    active += "'aria-activedescendant'))?.getAttribute('aria-rowindex')"
    visit.wait_for(f"{active} === '3'")
    visit.press("Alt+ArrowUp")
    visit.wait_for("location.hash === '#K2,K1,K3'")
    visit.wait_for(f"{active} === '2'")
    visit.press("End", "Delete")
    visit.wait_for("location.hash === '#K2,K1'")
    visit.press("Control+z")
    visit.wait_for("location.hash === '#K2,K1,K3'")
    visit.press("Home", "Enter")
    expect(visit.page.locator(".panels")).to_be_visible()
    expect(visit.page.locator("#tab-chart")).to_have_attribute("aria-selected", "true")
    visit.press("m")
    expect(visit.page.locator("#tab-market")).to_have_attribute("aria-selected", "true")
    visit.press("Escape")
    expect(visit.page.locator(".panels")).to_be_hidden()


def test_columns_sort_and_rows_keep_their_own_order(visit: Visit, site: Site, redis: Redis) -> None:
    """Numbers sort as numbers, from the greatest; the third press brings back the own order."""
    for symbol, price in {"S1": "9", "S2": "100", "S3": "20.5"}.items():
        publish(redis, symbol, price)
    visit.open(f"{site.url}#S1,S2,S3,S4")
    visit.wait_for_cell("S3", "price", "20.50")
    head = visit.page.locator(".grid-head .c-price")
    head.get_by_role("button").click()
    assert visit.page.locator("[aria-sort=descending]").inner_text().startswith("Last")
    visit.wait_for("document.querySelector('[aria-rowindex=\"2\"] .symbol-name').textContent=='S2'")
    assert visit.symbols() == ["S2", "S3", "S1", "S4"]
    visit.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    visit.wait_for("document.querySelector('[aria-rowindex=\"2\"] .symbol-name').textContent=='S1'")
    assert visit.symbols() == ["S1", "S3", "S2", "S4"]
    publish(redis, "S1", "50")
    visit.wait_for("document.querySelector('[aria-rowindex=\"2\"] .symbol-name').textContent=='S3'")
    visit.press("Enter")
    expect(head).to_have_attribute("aria-sort", "none")
    visit.wait_for("document.querySelector('[aria-rowindex=\"2\"] .symbol-name').textContent=='S1'")
    visit.press("ArrowRight", "Enter")
    expect(visit.page.locator(".grid-head .c-change")).to_have_attribute("aria-sort", "descending")


def test_lists_are_made_named_left_and_found_again(visit: Visit, site: Site) -> None:
    """Several lists survive a reload; a deleted one comes back by undo."""
    page = visit.page
    visit.open(site.url)
    expect(visit.row("RELIANCE")).to_have_count(1)  # the first list has the demo's symbols
    page.locator("#list-add").click()
    page.locator("#list-name").fill("Watch list")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("There is a list of this name already.")
    page.locator("#list-name").fill("Mine")
    page.keyboard.press("Enter")
    expect(page.locator("#lists [aria-current]")).to_have_text("Mine")
    visit.add("L1, L2")
    visit.page.locator("#grid").focus()
    visit.press("1")
    expect(visit.row("L1")).to_have_count(0)
    visit.press("2")
    expect(visit.row("L1")).to_have_count(1)
    page.get_by_label("List and columns").click()
    page.get_by_role("button", name="Rename the list").click()
    page.locator("#list-name").fill("Ours")
    page.keyboard.press("Enter")
    page.reload()
    expect(page.locator("#lists [aria-current]")).to_have_text("Ours")
    assert visit.symbols() == ["L1", "L2"]
    page.get_by_label("List and columns").click()
    page.get_by_role("button", name="Delete the list").click()
    expect(page.locator("#lists button")).to_have_count(1)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#lists [aria-current]")).to_have_text("Ours")
    visit.wait_for("location.hash === '#L1,L2'")


BAD_STORES = [
    "{",
    "null",
    "[]",
    '{"version":99,"value":{}}',
    '{"version":1,"value":null}',
    '{"version":1,"value":{"current":"x","lists":[]}}',
    '{"version":1,"value":{"current":"x","lists":[{"id":"x","name":"","symbols":[]}]}}',
    '{"version":1,"value":{"current":"x","lists":[{"id":"x","name":"A","symbols":[1,null]}]}}',
    '{"version":1,"value":{"current":"x","lists":[{"id":"x","name":"A","symbols":["A","A"]}]}}',
]


def test_whatever_the_browser_kept_the_page_opens(visit: Visit, site: Site) -> None:
    """Content of another version, or none of ours, reads as nothing."""
    visit.open(site.url)
    for text in BAD_STORES:
        visit.page.evaluate(
            """(text) => {
              localStorage.setItem("live-price.lists", text);
              localStorage.setItem("live-price.preferences", text);
              sessionStorage.clear();
              history.replaceState(null, "", " ");
            }""",
            text,
        )
        visit.page.reload()
        expect(visit.row("RELIANCE")).to_have_count(1)
        expect(visit.page.locator("#lists button")).to_have_text(["Watch list"])


def test_address_is_a_link_to_symbols(visit: Visit, site: Site, redis: Redis) -> None:
    """The address holds the symbols and is followed when it is edited; own lists stay."""
    visit.open(f"{site.url}#TCS,L%26T,%ZZ")
    expect(visit.page.locator("#lists [aria-current]")).to_have_text("From the link")
    visit.row("TCS").hover()
    visit.page.get_by_label("Remove TCS").click()
    visit.wait_for("location.hash === '#L%26T,%25ZZ'")
    publish(redis, "TCS", "1")
    publish(redis, "L&T", "2")
    visit.wait_for_cell("L&T", "price", "2.00")
    visit.page.evaluate("location.hash = '#TCS'")
    visit.wait_for_cell("TCS", "price", "1.00")
    assert visit.symbols() == ["TCS"]
    visit.page.locator("#lists button").first.click()
    expect(visit.row("RELIANCE")).to_have_count(1)


def test_errors_are_shown_in_words(visit: Visit, site: Site, redis: Redis) -> None:
    """What is no symbol is said in words in its row, and markup in a symbol stays text."""
    markup = "<img src=x onerror=hacked=1>"
    visit.open(f"{site.url}#")
    visit.add(f"*, {markup}")
    visit.wait_for_note("*", "refused: not a symbol")
    expect(visit.page.locator(".notice").first).to_contain_text("*: not a symbol")
    publish(redis, markup, "5.00")
    visit.wait_for_cell(markup, "price", "5.00")
    visit.search(markup)
    expect(visit.page.locator("#suggestions")).to_contain_text(markup)
    assert visit.page.evaluate("document.querySelectorAll('img').length + typeof hacked") == (
        "0undefined"
    )
    # Even if markup got into the page, its policy would not let a script run.
    visit.page.evaluate(
        "(() => { const one = document.createElement('script');"
        "one.textContent = 'window.hacked = 1'; document.body.append(one); })()"
    )
    wait_until(lambda: visit.page.evaluate("typeof window.hacked") and visit.errors)
    assert visit.page.evaluate("typeof window.hacked") == "undefined"
    assert "Content Security Policy" in visit.errors.pop()
    visit.errors.clear()


def test_unknown_name_offers_what_may_be_meant(visit: Visit, site: Site, redis: Redis) -> None:
    """A misspelled name shows suggestions; a click on one takes it instead."""
    publish(redis, "RELIANCE", "100.50")
    visit.open(f"{site.url}#RELIANC,reliance")
    visit.wait_for_note("RELIANC", "did you mean NSE_EQ:RELIANCE")
    # The name in another case is the instrument, under the symbol of the exchange.
    visit.wait_for_cell("RELIANCE", "price", "100.50")
    visit.page.locator(".suggestion").first.click()
    visit.wait_for("location.hash === '#reliance'")
    visit.page.evaluate("location.hash = '#RELIANCE,NSE_EQ:RELIANCE,NSE:RELIANCE'")
    visit.wait_for("location.hash === '#RELIANCE'")
    expect(visit.page.locator(".notice").last).to_contain_text("under another name")


def test_killed_server_is_found_again(visit: Visit, site: Site, redis: Redis) -> None:
    """The page says that its prices are old, and is back by itself with the newest ones."""
    publish(redis, "INFY", "100.50")
    visit.open(f"{site.url}#INFY,BAJAJ-AUTO")
    visit.wait_for_cell("INFY", "price", "100.50")
    site.kill("web")
    visit.wait_for_state("waiting")
    expect(visit.page.locator("#state")).to_have_text(re.compile(r"^Reconnecting( in \d+ s)?$"))
    expect(visit.page.locator("#banner")).to_contain_text("Prices below are old")
    assert visit.page.evaluate("document.body.classList.contains('stale')")
    visit.wait_for_note("BAJAJ-AUTO", "waiting for the connection")
    visit.add("HCLTECH")
    publish(redis, "INFY", "101.00")
    publish(redis, "HCLTECH", "55")
    site.start_web()
    site.wait_until_up()
    visit.wait_for_cell("INFY", "price", "101.00")
    visit.wait_for_cell("HCLTECH", "price", "55.00")
    publish(redis, "BAJAJ-AUTO", "102.00")
    visit.wait_for_cell("BAJAJ-AUTO", "price", "102.00")
    visit.wait_for_state("live", "quiet")
    expect(visit.page.locator("#banner")).to_be_hidden()
    assert not visit.page.evaluate("document.body.classList.contains('stale')")


def test_lost_feed_is_shown(visit: Visit, site: Site, redis: Redis) -> None:
    """Without a bridge the page says that no prices come, and when they are back."""
    publish(redis, "SBIN", "100.50")
    visit.open(f"{site.url}#SBIN")
    visit.wait_for_cell("SBIN", "price", "100.50")
    site.kill("bridge")
    visit.wait_for_state("down")
    expect(visit.page.locator("#banner")).to_contain_text("receives no prices")
    site.start_bridge()
    visit.wait_for_state("quiet", "live")
    publish(redis, "SBIN", "100.55")
    visit.wait_for_cell("SBIN", "price", "100.55")
    visit.wait_for_state("live")


def test_only_visible_rows_exist(visit: Visit, site: Site, redis: Redis) -> None:
    """A list of 500 has some dozens of rows, says how many there are, and shows any of them."""
    names = [f"R{number:03}" for number in range(500)]
    publish(redis, "R499", "7")
    visit.open(f"{site.url}#{','.join(names)}")
    visit.wait_for_note("R001", "no instrument")
    grid = visit.page.locator("#grid")
    expect(grid).to_have_attribute("aria-rowcount", "501")
    assert visit.page.locator(".grid-space .row").count() < 60
    grid.focus()
    visit.press("End")
    visit.wait_for_cell("R499", "price", "7.00")
    assert visit.row("R499").get_attribute("aria-rowindex") == "501"
    assert visit.page.locator(".grid-space .row").count() < 60
    publish(redis, "R499", "8")
    visit.wait_for_cell("R499", "price", "8.00")
    visit.press("Home")
    expect(visit.row("R000")).to_be_in_viewport()


def test_busy_market_leaves_the_page_as_large_as_it_was(
    visit: Visit, site: Site, redis: Redis
) -> None:
    """Hundreds of prices a second change texts; rows and nodes stay (benchmarks/dashboard.py)."""
    names = [f"B{number:03}" for number in range(200)]
    visit.open(f"{site.url}#{','.join(names)}")
    visit.wait_for_note("B001", "no instrument")
    market = Market(redis, names, hertz=3)
    market.start()
    try:
        wait_until(lambda: visit.page.locator(".noted").count() == 0, timeout_s=2 * DEADLINE_S)
        found = watch_page(visit.context, visit.page, 1)
    finally:
        market.ended.set()
        market.join()
    assert found["frames"] > 0 and found["rows"] < 60
    before, after = found["nodes"]
    assert after < before + 100


def test_numbers_are_written_as_in_india(visit: Visit, site: Site) -> None:
    """Groups of two digits before the last three; no digit of a text is lost, no noise is shown."""
    visit.open(f"{site.url}#")
    call = """([name, ...values]) => import("/static/screens/format.js").then((module) =>
        name in module ? module[name](...values)
                       : module.formatter((key, { n } = {}) => `${n ?? 0} ${key}`,
                                          () => "en")[name](...values))"""
    table: list[tuple[str, list[Any], str]] = [
        ("price", ["1234567.8"], "12,34,567.80"),
        ("price", ["999.99"], "999.99"),
        ("price", ["1000"], "1,000.00"),
        ("price", ["100000", 0], "1,00,000"),
        ("price", ["-37.63"], "−37.63"),
        ("price", ["83.2475", 4], "83.2475"),
        ("price", ["101.250"], "101.250"),
        ("price", [0.1 + 0.2], "0.30"),
        ("price", [83.2475, 2], "83.2475"),
        ("price", ["1e5"], "1e5"),
        ("price", [""], ""),
        ("price", [None], ""),
        ("quantity", [12345678], "1,23,45,678"),
        ("change", ["0.5"], "+0.50"),
        ("change", ["-0.5"], "−0.50"),
        ("change", ["0.00"], "0.00"),
        ("percent", ["-1.234"], "−1.23%"),
        ("percent", [0.001], "0.00%"),
        ("percent", ["x"], ""),
        ("time", [1712331900000], "21:15:00"),
        ("time", ["soon"], "soon"),
        ("dateTime", [1712331900000], "5 Apr 2024, 21:15:00"),
        ("age", [999], "0 age.now"),
        ("age", [59_999], "59 age.seconds"),
        ("age", [3_600_000], "1 age.hours"),
        ("difference", ["101.250", "100.50"], "0.750"),
        ("difference", ["0.05", "0.10"], "-0.05"),
        ("difference", ["-37.63", "10"], "-47.63"),
        ("difference", ["5", "5.00"], "0.00"),
        ("difference", ["123456789012345678.9", "123456789012345678.8"], "0.1"),
        ("difference", ["1e3", "1"], "999"),
    ]
    for name, values, expected in table:
        assert visit.page.evaluate(call, [name, *values]) == expected, (name, values)


def test_languages_have_the_same_texts(visit: Visit, site: Site) -> None:
    """Every key has a text in each language, with the same values; to switch needs no reload."""
    visit.open(f"{site.url}#H1")
    both = visit.page.evaluate(
        """Promise.all([import("/static/screens/text/en.js"), import("/static/screens/text/hi.js")])
          .then(([{ english }, { hindi }]) => [english, hindi])"""
    )
    english, hindi = both
    assert list(english) == list(hindi)
    for key, text in english.items():
        values = re.findall(r"\{\w+\}", text)
        assert hindi[key] and sorted(re.findall(r"\{\w+\}", hindi[key])) == sorted(values), key
    visit.page.get_by_label("हिन्दी").click()
    expect(visit.page.locator(".grid-head .c-volume")).to_have_text(hindi["columns.volume"])
    assert visit.page.evaluate("document.documentElement.lang") == "hi"
    assert visit.page.title() == hindi["page.title"]
    visit.page.reload()
    expect(visit.page.locator("#state-name")).to_have_text(
        re.compile(f"{hindi['state.quiet']}|{hindi['state.live']}")
    )
    visit.page.get_by_label("English").click()
    expect(visit.page.locator(".grid-head .c-volume")).to_have_text("Volume")


def test_theme_follows_the_system_until_it_is_chosen(browser: Browser, site: Site) -> None:
    """Dark by the system; the switch goes on to dark and light, and stays."""
    visit = Visit(browser, color_scheme="dark")
    visit.open(f"{site.url}#T1")
    theme = "document.documentElement.dataset.theme"
    dark = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert visit.page.evaluate(theme) == "dark"
    visit.page.emulate_media(color_scheme="light")
    visit.wait_for(f"{theme} === 'light'")
    visit.page.get_by_label("Theme").click()
    visit.wait_for(f"{theme} === 'dark'")
    assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    visit.page.reload()
    visit.wait_for(f"{theme} === 'dark'")
    visit.close()
    assert visit.errors == []


@pytest.mark.parametrize("locale", ["en-IN", "hi-IN"])
def test_phone_shows_all_without_scrolling_sideways(
    browser: Browser, site: Site, redis: Redis, locale: str
) -> None:
    """At 360 pixels nothing is cut off or wider than the screen, menus and dialogs included."""
    publish(redis, "NIFTY 50", "123456.75", prev_close=120000.1)
    publish(redis, "NIFTY26AUG24000CE", "1234.05", prev_close=1200.1)
    visit = Visit(browser, locale=locale, **PHONE)
    visit.open(f"{site.url}#NIFTY%2050,NIFTY26AUG24000CE,NOBODY%20HAS%20THIS%20VERY%20LONG%20NAME")
    visit.wait_for_cell("NIFTY 50", "price", "1,23,456.75")
    assert not visit.overflows()
    assert visit.page.evaluate(
        """[...document.querySelectorAll("button, a")]
          .filter((one) => one.checkVisibility())
          .map((one) => one.getBoundingClientRect())
          .every(({ left, right }) => left >= 0 && right <= innerWidth + 1)"""
    )
    visit.page.locator("#list-menu").click()
    assert not visit.overflows()
    visit.page.locator("#list-menu").click()
    visit.search("NIFTY")
    visit.page.locator("#suggestions [role=option]").first.wait_for()
    assert not visit.overflows()
    visit.press("Escape", "Escape")
    visit.page.locator("#account").click()
    assert not visit.overflows()
    visit.close()
    assert visit.errors == []


@pytest.mark.parametrize("kind", ["light", "dark", "phone"])
def test_axe_finds_no_serious_fault(browser: Browser, site: Site, redis: Redis, kind: str) -> None:
    """Names, roles, contrast and focus are right, with rows, notes, notices, a menu and dialogs."""
    publish(redis, "RELIANCE", "100.50", prev_close=99, low=98, high=101)
    options: dict[str, Any] = PHONE if kind == "phone" else {"color_scheme": kind}
    visit = Visit(browser, **options)
    visit.open(f"{site.url}#RELIANCE,RELIANC,*")
    visit.wait_for_cell("RELIANCE", "price", "100.50")
    visit.wait_for_note("*", "refused")
    visit.row("RELIANCE").click()
    check_by_axe(visit)
    if kind == "phone":
        return visit.close()
    visit.press("Escape")
    visit.search("REL")
    visit.page.locator("#suggestions [role=option]").first.wait_for()
    check_by_axe(visit)
    visit.press("Escape", "Escape", "Escape")
    visit.page.locator("#list-menu").click()
    check_by_axe(visit)
    visit.page.locator("#account").click()
    check_by_axe(visit)
    visit.close()


def check_by_axe(visit: Visit) -> None:
    found = Axe().run(visit.page)
    serious = [one for one in found.response["violations"] if one["impact"] in SERIOUS]
    told = [(one["id"], [node["html"] for node in one["nodes"]]) for one in serious]
    assert not told


def log_in(visit: Visit, password: str = PASSWORD) -> None:
    visit.page.get_by_label("User name").fill("asha")
    visit.page.get_by_label("Password").fill(password)
    visit.press("Enter")


def test_log_in_brings_prices_and_lists(
    browser: Browser, closed_site: Site, site: Site, redis: Redis
) -> None:
    """Where a log-in is required, it brings prices; lists follow the user to another browser."""
    publish(redis, "RELIANCE", "100.50")
    first, second = Visit(browser), Visit(browser)
    for visit in (first, second):
        visit.open(f"{closed_site.url}#RELIANCE")
        visit.wait_for_state("login")
        expect(visit.page.locator("#login-dialog")).to_be_visible()
    log_in(first, "wrong")
    expect(first.page.get_by_role("alert")).to_have_text(
        "The user name or the password is not right."
    )
    for visit in (first, second):
        log_in(visit)
        visit.wait_for_cell("RELIANCE", "price", "100.50")
        expect(visit.page.locator("#account")).to_have_text("Log out asha")
    # A list that one browser makes is in the other when it looks again.
    first.page.locator("#list-add").click()
    first.page.locator("#list-name").fill("Shared")
    with first.page.expect_response("**/api/watch-lists/"):
        first.press("Enter")
    with first.page.expect_response("**/api/watch-lists/*/"):
        first.add("W1, W2")
    second.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    second.page.get_by_role("button", name="Shared").click()
    second.wait_for("location.hash === '#W1,W2'")
    # Both change it: the second is told, and may put its own in its place.
    with first.page.expect_response("**/api/watch-lists/*/"):
        first.add("W3, W4")
    second.add("V1, V2")
    notice = second.page.locator(".notice", has_text="was changed in another browser")
    expect(notice).to_be_visible()
    second.wait_for("location.hash === '#W1,W2,W3,W4'")
    with second.page.expect_response("**/api/watch-lists/*/") as saved:
        notice.get_by_role("button", name="Keep mine").click()
    assert saved.value.json()["symbols"] == ["W1", "W2", "V1", "V2"]
    # Nothing secret is left in the browser, and the log-out takes all away.
    kept = first.page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
    assert "eyJ" not in kept and "eyJ" not in first.page.url and "Shared" not in kept
    first.page.locator("#account").click()
    first.wait_for_state("login")
    expect(first.page.get_by_role("button", name="Shared")).to_have_count(0)
    assert first.page.get_by_text("100.50").count() == 0
    for visit in (first, second):
        visit.close()
        assert visit.errors == []


def test_session_of_admin_is_a_log_in(
    browser: Browser, closed_site: Site, site: Site, redis: Redis, deployment: Deployment
) -> None:
    """Who is logged in to admin in this browser sees prices at once, and logs out of both."""
    publish(redis, "RELIANCE", "100.50")
    visit = Visit(browser)
    cookie = {"name": "sessionid", "value": deployment.do("session", "boss")}
    visit.context.add_cookies([{**cookie, "url": closed_site.url}])  # type: ignore[typeddict-item]
    visit.open(f"{closed_site.url}#RELIANCE")
    visit.wait_for_cell("RELIANCE", "price", "100.50")
    expect(visit.page.locator("#account")).to_have_text("Log out boss")
    visit.page.locator("#list-add").click()
    visit.page.locator("#list-name").fill("By session")
    with visit.page.expect_response("**/api/watch-lists/") as saved:
        visit.press("Enter")
    assert saved.value.status == 201
    assert "ticket" not in visit.page.url
    with visit.page.expect_response("**/admin/logout/"):
        visit.page.locator("#account").click()
    visit.wait_for_state("login")
    visit.page.reload()
    visit.wait_for_state("login")
    visit.close()
    assert visit.errors == []
