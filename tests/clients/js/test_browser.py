"""The JavaScript client in Chromium: one browser, in which it meets what only browsers do."""

import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser, Page, async_playwright
from redis import Redis

from benchmarks.chaos.proxy import Mode
from tests.chromium import find_chromium
from tests.clients.js.test_connection import door_to
from tests.site import Site
from tests.ticks import MOMENT, message, publish

# A page of the server that loads no script of its own.
BLANK = "/healthz"
pytestmark = pytest.mark.slow

OPEN = """async ({ url, options }) => {
  const { PriceClient } = await import("/static/client/live-price.js");
  const client = new PriceClient(url, options);
  window.client = client;
  window.states = [];
  window.prices = [];
  window.recovered = [];
  client.on("state", (change) => states.push([change.state, change.error?.message ?? ""]));
  const subscription = client.subscribe(["AAPL"], { conflate: false });
  subscription.on("price", (tick) => prices.push(tick.price));
  subscription.on("recovered", (one) => recovered.push(one.ticks));
}"""
NEVER = {"minBackoffMs": 600_000, "maxBackoffMs": 600_000}


@pytest.fixture
def site(redis: Redis) -> Iterator[Site]:
    with Site(redis) as one:
        yield one


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(), args=options, timeout=60_000
        )
        try:
            yield browser
        finally:
            await browser.close()


async def state(page: Page, wanted: str) -> None:
    """Wait until the client is in a state."""
    await page.wait_for_function("(wanted) => client.state === wanted", arg=wanted)


async def prices(page: Page, count: int) -> None:
    await page.wait_for_function("(count) => prices.length >= count", arg=count)


async def test_client_in_a_browser(site: Site, redis: Redis) -> None:
    async with chromium() as browser, door_to(site.port) as (door, _):
        context = await browser.new_context()
        page = await context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        own = f"http://localhost:{site.port}{BLANK}"
        await page.goto(own)

        # A path is that of the page's server.
        await page.evaluate(OPEN, {"url": "/live-price", "options": {}})
        await state(page, "open")
        publish(redis, "AAPL", message("AAPL", "1"))
        await prices(page, 1)

        await page.evaluate("client.close()")

        # A server that refuses the page's origin: the browser does not say so.
        foreign = f"ws://127.0.0.1:{site.port}/live-price"
        await page.evaluate(OPEN, {"url": foreign, "options": NEVER})
        await state(page, "waiting")
        assert "QUOTES_ALLOWED_ORIGINS" in (await page.evaluate("states.at(-1)"))[1]
        await page.evaluate("client.close()")

        # When the network or the user is back, it does not wait for the end of its back-off.
        await page.goto(f"http://localhost:{door.port}{BLANK}")
        await page.evaluate(OPEN, {"url": "/live-price", "options": NEVER})
        await prices(page, 1)
        for event in ("offline and online", "visible"):
            door.set_mode(Mode.CUT)
            await state(page, "waiting")
            count = await page.evaluate("prices.length")
            publish(redis, "AAPL", message("AAPL", str(count + 1), MOMENT + count))
            door.set_mode(Mode.PASS)
            if event == "visible":
                await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
            else:
                await context.set_offline(True)
                await context.set_offline(False)
            await state(page, "open")
            await prices(page, count + 1)
        assert await page.evaluate("prices") == [1, 2, 3]
        assert await page.evaluate("recovered") == [1, 1]
        await page.evaluate("client.close()")

        # A tab that was frozen for longer than the silence it waits for finds its connection open.
        await page.evaluate(OPEN, {"url": "/live-price", "options": {"silenceMs": 900}})
        await prices(page, 1)
        session = await context.new_cdp_session(page)
        await session.send("Page.setWebLifecycleState", {"state": "frozen"})
        for at in range(3):
            publish(redis, "AAPL", message("AAPL", str(at), MOMENT + 10 + at))
        other = await context.new_page()
        await other.wait_for_timeout(2500)
        await session.send("Page.setWebLifecycleState", {"state": "active"})
        await prices(page, 4)
        assert await page.evaluate("states.map(([state]) => state)") == ["connecting", "open"]
        assert errors == []
