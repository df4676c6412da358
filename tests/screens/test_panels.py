"""The dashboard's panels in a real browser, on the real server with a master and history."""

import json
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import reverse
from playwright.sync_api import Browser, Locator, Page, Route, expect
from redis import Redis

from instruments.greeks import Terms, value
from instruments.sessions import IST
from quotes.runtime.clock import now_ms, today_in_india
from quotes.store.shards import idle_shards
from tests.access.deployment import Deployment
from tests.screens.browsing import DEADLINE_MS, Visit, started_browser
from tests.screens.chart_file import ensure_chart_file
from tests.site import Site
from tests.valkey import ValkeyProcess
from tests.waiting import wait_until

# The first test waits for the server and the browser, too.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

expect.set_options(timeout=DEADLINE_MS)

MINUTES = 60  # of candles on each past day
STRIKES = range(23_000, 25_001, 100)
EXPIRY_DAYS = 12
VOLATILITY = 0.14
HEAD = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,"
    "lot_size,instrument_type,segment,exchange"
)
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
SERIOUS = ("serious", "critical")


def past_days() -> list[date]:
    """Two days before today, neither of which is today's neighbour for sure: weekends count."""
    today = today_in_india()
    return [today - timedelta(days=3), today - timedelta(days=2)]


def expiry() -> date:
    return today_in_india() + timedelta(days=EXPIRY_DAYS)


def option(strike: int, side: str) -> str:
    return f"NIFTY{expiry():%y%b}{strike}{side}".upper()


def write_master(folder: Path) -> Path:
    """A share, an index, its future and options, as Kite lists them."""
    month = f"{expiry():%y%b}".upper()
    rows = [
        "738561,2885,RELIANCE,RELIANCE INDUSTRIES,0,,0,0.1,1,EQ,NSE,NSE",
        "408065,1594,INFY,INFOSYS,0,,0,0.1,1,EQ,NSE,NSE",
        "256265,1001,NIFTY 50,NIFTY 50,0,,0,0,0,EQ,INDICES,NSE",
        f"256002,1002,NIFTY{month}FUT,NIFTY,0,{expiry()},0,0.1,65,FUT,NFO-FUT,NFO",
    ]
    token = 40_000
    for strike in STRIKES:
        for side in ("CE", "PE"):
            token += 1
            rows.append(
                f"{token * 256 + 2},{token},{option(strike, side)},NIFTY,0,{expiry()},{strike},"
                f"0.05,65,{side},NFO-OPT,NFO"
            )
    path = folder / "master.csv"
    path.write_text("\n".join([HEAD, *rows]) + "\n")
    return path


def write_history(folder: Path) -> Path:
    """Candles of RELIANCE of the first hour of two days, the last close 1,500."""
    rows = ["instrument,start,interval,open,high,low,close,volume,oi"]
    for number, day in enumerate(past_days()):
        for minute in range(MINUTES):
            at = datetime(day.year, day.month, day.day, 9, 15) + timedelta(minutes=minute)
            price = 1400 + 50 * number + minute * 50 / (MINUTES - 1)
            values = f"{price:.2f},{price + 2:.2f},{price - 2:.2f},{price:.2f},{100 + minute},"
            rows.append(f"NSE_EQ:RELIANCE,{at:%Y-%m-%d %H:%M},1m,{values}")
    path = folder / "history.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    ensure_chart_file()
    with started_browser() as one:
        yield one


@pytest.fixture(scope="module")
def redis(browser: Browser, redis_server: ValkeyProcess) -> Iterator[Redis]:
    redis_server.start()
    with Redis.from_url(redis_server.url, socket_timeout=5) as client:
        client.flushall()
        yield client


@pytest.fixture(scope="module")
def site(
    redis: Redis, redis_server: ValkeyProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Bridge, recorder and web server with a master and two past days of one share."""
    folder: Path = tmp_path_factory.mktemp("panels")
    with Deployment(
        folder,
        redis_server.url,
        HISTORY_DATABASE_URL=f"sqlite:///{folder / 'history.sqlite3'}",
        INSTRUMENTS_FOLLOW_MASTER="true",
        QUOTES_CANDLES_ALL_HOURS="true",
        QUOTES_REST_PER_MINUTE="100000",
    ) as deployment:
        deployment.do("call", "import_instruments", str(write_master(folder)))
        deployment.do("call", "import_history", str(write_history(folder)))
        one = Site(redis)
        one.environment |= deployment.environment
        try:
            one.start_bridge()
            one.start_web()
            one.start("recorder", "manage.py", "record_prices")
            wait_until(lambda: one.answers() and not idle_shards(redis), timeout_s=120)
            yield one
        finally:
            one.stop()


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Visit]:
    one = Visit(browser, timezone_id="America/New_York")
    yield from visiting(one)


@pytest.fixture
def phone(browser: Browser, site: Site) -> Iterator[Visit]:
    yield from visiting(Visit(browser, **PHONE))


def visiting(visit: Visit) -> Iterator[Visit]:
    visit.page.add_init_script(
        "addEventListener('securitypolicyviolation', (event) => "
        "console.error('policy violated: ' + event.violatedDirective));"
    )
    try:
        yield visit
        assert visit.errors == []
    finally:
        visit.close()


def publish(redis: Redis, symbol: str, price: float, *, at: int = 0, **fields: Any) -> None:
    tick = {"symbol": symbol, "price": round(price, 2), "timestamp": at or now_ms(), **fields}
    text = json.dumps(tick)
    redis.set(f"stock:{symbol}", text)
    redis.publish(f"stock:{symbol}", text)


def show(visit: Visit, site: Site, symbol: str, panel: str) -> Locator:
    """Open the dashboard with one symbol, and a panel of it; return the panel."""
    visit.open(f"{site.url.rstrip('/')}{reverse('dashboard')}#{symbol.replace(' ', '%20')}")
    expect(visit.row(symbol)).to_be_visible()
    visit.page.focus("#grid")
    visit.press("ArrowDown", {"chart": "c", "chain": "o", "depth": "d", "market": "m"}[panel])
    return visit.page.locator(f"#panel-{panel} .panel-root")


def wait_for_data(panel: Locator, name: str, expected: str) -> None:
    expect(panel).to_have_attribute(f"data-{name}", re.compile(f"^{expected}$"))


def has_no_serious_fault(page: Page) -> None:
    violations = Axe().run(page, context=".panels").response["violations"]
    assert [one for one in violations if one["impact"] in SERIOUS] == []


def painted(panel: Locator, color: str) -> int:
    """Return how many pixels of the chart have the colour of a property of the page."""
    pixels: int = panel.evaluate(
        """(root, name) => {
          const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
          const wanted = [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
          let found = 0;
          for (const canvas of root.querySelectorAll(".chart-canvas canvas")) {
            if (!canvas.width || !canvas.height) continue;
            const context = canvas.getContext("2d");
            const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
            for (let at = 0; at < data.length; at += 4) {
              if (wanted.every((part, of) => data[at + of] === part)) found += 1;
            }
          }
          return found;
        }""",
        color,
    )
    return pixels


def test_chart_joins_past_and_live_candles(visit: Visit, site: Site, redis: Redis) -> None:
    """Past candles come over REST, live ones follow, each once; the previous close has a line."""
    publish(redis, "RELIANCE", 1510.5, volume=1000)
    panel = show(visit, site, "RELIANCE", "chart")
    page = visit.page
    wait_for_data(panel, "state", "ready")
    page.get_by_role("button", name="1m", exact=True).click()
    # An hour of either day, and this minute, or two.
    wait_for_data(panel, "candles", r"12[1-9]")
    assert panel.get_attribute("data-breaks") == "2"
    wait_for_data(panel, "previous-close", "1500")
    legend = panel.locator(".chart-legend")
    expect(legend).to_contain_text("C1,510.50")
    publish(redis, "RELIANCE", 1513.25, volume=1500)
    expect(legend).to_contain_text("H1,513.25")
    publish(redis, "RELIANCE", 1490, volume=1_01_500)
    expect(legend).to_contain_text("C1,490.00")
    expect(legend).to_contain_text(f"{datetime.now(IST):%Y}")
    wait_for_data(panel, "candles", r"12[1-9]")
    wait_until(lambda: painted(panel, "--up") > 100)  # in the next frame
    # Times are Indian, though the browser is in New York.
    page.locator(".chart-area").focus()
    visit.press("Home")
    spoken = panel.locator("[aria-live=polite]")
    expect(spoken).to_contain_text("09:15, O 1,400.00, H 1,402.00, L 1,398.00, C 1,400.00")
    visit.press("ArrowRight", "ArrowRight", "ArrowLeft")
    expect(spoken).to_contain_text("09:16, O 1,400.85")
    visit.press("End", "ArrowLeft")
    expect(spoken).to_contain_text("Vol")
    expect(page.locator("#chart-summary")).to_contain_text("candles of 1m")
    has_no_serious_fault(page)
    for interval, candles in (("15m", "[89]|1[0-9]"), ("1D", "3")):
        page.get_by_role("button", name=interval, exact=True).click()
        wait_for_data(panel, "candles", candles)
    page.get_by_role("button", name="Line", exact=True).click()
    wait_until(lambda: painted(panel, "--accent") > 20)
    expect(panel.locator(".chart-notice a").first).to_have_attribute(
        "href", "https://www.tradingview.com/"
    )


def test_chart_fills_what_was_missed(visit: Visit, site: Site, redis: Redis) -> None:
    """Prices that came while the server was away are in the candles after the reconnection."""
    publish(redis, "INFY", 1600)
    panel = show(visit, site, "INFY", "chart")
    legend = panel.locator(".chart-legend")
    expect(legend).to_contain_text("C1,600.00")
    visit.page.get_by_role("button", name="1D", exact=True).click()
    wait_for_data(panel, "candles", "1")
    site.kill("web")
    visit.wait_for_state("waiting")
    publish(redis, "INFY", 1650)
    publish(redis, "INFY", 1620)
    site.start_web()
    expect(legend).to_contain_text("H1,650.00")
    expect(legend).to_contain_text("C1,620.00")
    wait_for_data(panel, "candles", "1")


def test_chart_says_why_there_is_none(visit: Visit, site: Site, redis: Redis) -> None:
    """No file of the library, no answer, no history, no recorder: each has a sentence."""
    publish(redis, "RELIANCE", 1500)
    page = visit.page
    page.route("**/vendor/*", lambda route: route.fulfill(status=404))
    panel = show(visit, site, "RELIANCE", "chart")
    message = panel.locator(".chart-message")
    expect(message).to_contain_text("run “make charts” in its folder, or “manage.py get_charts”")
    expect(panel.locator(".chart-legend")).to_contain_text("C1,500.00")  # candles are read
    page.unroute("**/vendor/*")
    message.get_by_role("button", name="Try again").click()
    wait_for_data(panel, "state", "ready")

    def refuse(route: Route) -> None:
        route.fulfill(status=503, body='{"code":503,"message":"the database is away"}')

    page.route("**/candles/?*", refuse)
    page.get_by_role("button", name="3m", exact=True).click()
    expect(message).to_contain_text("could not be read: the database is away")
    page.unroute("**/candles/?*")
    message.get_by_role("button", name="Try again").click()
    wait_for_data(panel, "state", "ready")
    visit.open("about:blank")
    page.route("**/readyz", lambda route: route.fulfill(json={"recorder": "start it"}))
    for symbol, text in (
        ("NOBODY", "No instrument and no publisher has the name NOBODY, so it has no history."),
        (option(23_000, "PE"), "the recorder does not work: start it"),
    ):
        panel = show(visit, site, symbol, "chart")
        expect(panel.locator(".chart-message")).to_contain_text(text)
        visit.open("about:blank")


def price_chain(redis: Redis, level: float) -> None:
    """Publish the index, its future, and each option at one volatility."""
    close = datetime.combine(expiry(), datetime.min.time(), IST) + timedelta(hours=15, minutes=30)
    at = now_ms()
    years = (close.timestamp() * 1000 - at) / (365 * 86_400_000)
    publish(redis, "NIFTY 50", level, at=at, prev_close=24_000)
    publish(redis, f"NIFTY{expiry():%y%b}FUT".upper(), level, at=at)
    for strike in STRIKES:
        for side in ("CE", "PE"):
            terms = Terms(side == "CE", level, strike, years, 0.065)
            price = value(terms, VOLATILITY)
            oi = 65 * (strike - 22_000)
            publish(redis, option(strike, side), price, at=at, oi=oi, volume=12_34_500)


def test_chain_is_live_and_follows_the_money(visit: Visit, site: Site, redis: Redis) -> None:
    """Strikes around the money have prices, IV and greeks; the money moves, and they move along."""
    price_chain(redis, 24_010)
    panel = show(visit, site, "NIFTY 50", "chain")
    wait_for_data(panel, "money", "24000")
    wait_for_data(panel, "strikes", "21")
    expect(panel.locator(".chain-title")).to_contain_text("24,010.00")
    money = panel.locator("tr[aria-current=true]")
    expect(money.locator("th")).to_contain_text("24,000")
    # The close of the calendar may be 10 minutes later than that of the prices.
    expect(money.locator("td.chain-iv").first).to_have_text(re.compile(r"^1[34]\.\d$"))
    expect(money.locator("td.chain-volume").first).to_have_text("12.3 L")
    expect(money.locator("td.chain-oi").first).to_have_text("1.30 L")
    expect(panel.locator(".chain-facts")).to_contain_text("Black-76 on NFO:NIFTY")
    panel.get_by_label("Greeks").check()
    expect(money.locator("td.chain-delta").first).to_have_text(re.compile(r"^0\.5\d$"))
    expect(money.locator("td.chain-delta").last).to_have_text(re.compile(r"^−0\.4\d$"))
    expect(money.locator("td.chain-theta").first).to_have_text(re.compile(r"^−\d+\.\d\d$"))
    publish(redis, option(24_000, "CE"), 300.05)
    expect(money.locator("td.chain-price").first).to_have_text("300.05")
    has_no_serious_fault(visit.page)
    panel.get_by_label("Strikes").select_option("5")
    wait_for_data(panel, "strikes", "11")
    price_chain(redis, 24_310)
    wait_for_data(panel, "money", "24300")
    expect(money.locator("th")).to_contain_text("24,300")
    assert panel.locator("tbody tr").first.get_attribute("data-strike") == "23800"


def test_chain_of_a_future_and_of_none(visit: Visit, site: Site, redis: Redis) -> None:
    """A future or an option shows the chain that it belongs to; a share without options says so."""
    price_chain(redis, 24_010)
    for symbol in (f"NIFTY{expiry():%y%b}FUT".upper(), option(24_000, "PE")):
        panel = show(visit, site, symbol, "chain")
        wait_for_data(panel, "money", "24000")
        visit.open("about:blank")
    publish(redis, "INFY", 1600)
    panel = show(visit, site, "INFY", "chain")
    expect(panel.locator(".chain-message")).to_have_text("No options are written on NSE_EQ:INFY.")


def test_depth_shows_both_sides(visit: Visit, site: Site, redis: Redis) -> None:
    """Five orders a side, totals and spread; without depth the best bid and ask."""
    depth = {
        "buy": [
            {"price": 1499.9 - n / 10, "quantity": 100 * (n + 1), "orders": 3} for n in range(5)
        ],
        "sell": [{"price": 1500.1 + n / 10, "quantity": 1_00_000, "orders": 7} for n in range(5)],
    }
    publish(redis, "RELIANCE", 1500, depth=depth, avg_price=1501.25, prev_close=1480, oi=0)
    panel = show(visit, site, "RELIANCE", "depth")
    wait_for_data(panel, "levels", "5")
    first = panel.locator("tbody tr").first
    expect(first).to_have_text("31001,499.901,500.101,00,0007")
    expect(panel.locator("tfoot")).to_contain_text("5,00,000")
    expect(panel.locator(".depth-spread")).to_have_text("Spread 0.20 (0.01%)")
    expect(panel.locator(".depth-facts")).to_contain_text("+20.00 (+1.35%)")
    expect(panel.locator(".depth-facts")).to_contain_text("1,501.25")
    has_no_serious_fault(visit.page)
    publish(redis, "RELIANCE", 1501, bid=1500.5, ask=1501.5)
    wait_for_data(panel, "levels", "1")
    expect(first).to_have_text("1,500.501,501.50")
    publish(redis, "RELIANCE", 1502)
    expect(panel.locator(".depth-spread")).to_contain_text("neither depth nor bid and ask")


def test_market_says_what_comes_next(visit: Visit, site: Site, redis: Redis) -> None:
    """Each segment has its status and what comes next, in either language."""
    publish(redis, "RELIANCE", 1500)
    panel = show(visit, site, "RELIANCE", "market")
    expect(panel.locator("tbody tr")).to_have_count(9)
    share = panel.locator("[data-segment=NSE_EQ]")
    expect(share).to_contain_text(re.compile(r"Open|Closed|Pre-open|Holiday|Closing auction"))
    expect(share).to_contain_text(re.compile(r"(Opens|Closes|Closing auction) .*\d\d:\d\d IST"))
    has_no_serious_fault(visit.page)
    visit.page.locator("#language").click()
    expect(panel.locator("thead")).to_contain_text("सेगमेंट")
    expect(share).to_contain_text("IST पर")


@pytest.mark.parametrize("panel", ["chart", "chain", "depth", "market"])
def test_panels_fit_a_phone(phone: Visit, site: Site, redis: Redis, panel: str) -> None:
    """At 360 pixels nothing makes the page scroll sideways."""
    price_chain(redis, 24_010)
    root = show(phone, site, "NIFTY 50", panel)
    shown = ":is(.chart-legend span, tbody tr:not([hidden]), .depth-facts > div:not([hidden]))"
    expect(root.locator(shown).first).to_be_visible()
    sizes = phone.page.evaluate(
        "[document.documentElement, document.querySelector('.panels'),"
        " document.querySelector('.panel:not([hidden])')]"
        ".map((one) => one.scrollWidth - one.clientWidth)"
    )
    assert sizes == [0, 0, 0]


def test_candles_are_joined_by_their_start(visit: Visit, site: Site) -> None:
    """Past and live candles of one start are one, the newer state of it; late ones fit in."""
    visit.open(site.url)
    found = visit.page.evaluate(
        """async () => {
          const { Candles } = await import("/static/screens/panels/chart/candles.js");
          const day = { open: 1, high: 9, low: 1, volume: null };
          const at = (start, close, ticks) => ({ ...day, start, close, ticks });
          const candles = new Candles();
          const changes = [candles.addLive(at(300, "3.5", 7))];
          candles.addPast([at(100, 1, 5), at(200, 2, 5), at(300, 3, 6)]); // the live one is newer
          changes.push(candles.addLive(at(400, "4", 1)), candles.addLive(at(400, "4.5", 2)));
          changes.push(candles.addLive(at(200, "2.25", 6))); // revised
          changes.push(candles.addLive(at(250, "2.5", 1))); // late
          changes.push(candles.addLive({ start: 500, open: "x" }));
          candles.addPast([at(400, 4.75, 3), at(50, 0.5, 1)]); // the stored one is newer
          return [changes, candles.rows.map(({ start, close }) => [start, close])];
        }"""
    )
    rows = [[50, 0.5], [100, 1], [200, 2.25], [250, 2.5], [300, 3.5], [400, 4.75]]
    assert found == [["last", "last", "last", "past", "past", ""], rows]


def test_history_is_read_back_to_its_beginning(visit: Visit, site: Site) -> None:
    """Each step reads an older range, wider where nothing is, until nothing is for long."""
    visit.open(site.url)
    now = 1_795_800_000_000
    found = visit.page.evaluate(
        """async (now) => {
          const { History } = await import("/static/screens/panels/chart/history.js");
          const day = 86_400_000;
          const stored = [1, 2, 5, 30].map((ago) => now - ago * day);
          const ranges = [];
          const rest = {
            candles: async (key, { from, to }) => {
              ranges.push([from, to]);
              const found = stored.filter((start) => start >= from && start < to);
              return found.map((start) => ({ start }));
            },
          };
          const history = new History(rest, "X", "1m");
          const steps = [];
          while (!history.isWhole) steps.push((await history.older(now)).length);
          const isGapless = ranges.every(([from, to], at) => at === 0 || to === ranges[at - 1][0]);
          const longest = Math.max(...ranges.map(([from, to]) => (to - from) / day));
          return { steps, isGapless, isShort: longest <= 33, reads: ranges.length };
        }""",
        now,
    )
    assert sum(found["steps"]) == 4 and found["steps"][-1] == 0
    assert found["isGapless"] and found["isShort"] and found["reads"] < 20
