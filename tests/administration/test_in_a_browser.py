"""Admin as operators see it, in a real Chromium at 1280 pixels and on a phone."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright
from redis import Redis
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.access.deployment import Deployment, Web
from tests.chromium import find_chromium
from tests.valkey import ValkeyProcess
from tests.waiting import DEADLINE_S, wait_until

# Web processes take 2 s to start, or many times that on a busy machine.
START_S = 60.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
# What a page cannot show without scrolling sideways, in pixels.
HIDDEN = """() => {
  const results = [...document.querySelectorAll(".results:not(.operator-table)")];
  const inside = results.map((one) => one.scrollWidth - one.clientWidth);
  return Math.max(document.documentElement.scrollWidth - innerWidth, ...inside, 0);
}"""


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, redis_server: ValkeyProcess
) -> Iterator[Deployment]:
    redis_server.start()
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
    folder = tmp_path_factory.mktemp("site")
    settings = {
        "HISTORY_DATABASE_URL": f"sqlite:///{folder / 'history.sqlite3'}",
        **{"QUOTES_REDIS_TIMEOUT_S": "3", "HTTPS": "false"},
    }
    with Deployment(folder, redis_server.url, **settings) as deployment:
        deployment.uvicorn()
        wait_until(deployment.webs[0].answers, timeout_s=START_S)
        yield deployment


@pytest.fixture(scope="module")
def web(site: Deployment) -> Web:
    return site.webs[0]


@pytest.fixture(scope="module")
def cookie(site: Deployment, web: Web) -> Any:
    key = site.do("session", "boss")
    return {"name": "sessionid", "value": key, "url": f"http://127.0.0.1:{web.port}"}


@pytest.fixture(scope="module")
def lists(site: Deployment) -> list[str]:
    """The addresses of all lists, which have rows."""
    found: list[str] = site.do("admin_rows", 3)
    return found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def problems() -> list[str]:
    """What the page's console and scripts complain of."""
    return []


@pytest.fixture
def page(chromium: Browser, cookie: Any, web: Web, problems: list[str]) -> Iterator[Page]:
    base = f"http://127.0.0.1:{web.port}"
    context = chromium.new_context(viewport=DESKTOP, base_url=base)  # type: ignore[arg-type]
    context.add_cookies([cookie])
    page = context.new_page()
    page.set_default_timeout(DEADLINE_S * 1000)
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    context.close()


def test_every_list_fits(page: Page, lists: list[str], problems: list[str]) -> None:
    """No list of admin is wider than the screen, or cut off, with texts as long as they come."""
    hidden = {}
    for address in ["/admin/", *lists]:
        page.goto(address)
        hidden[address] = page.evaluate(HIDDEN)
    assert not {address: pixels for address, pixels in hidden.items() if pixels}
    assert not problems


def test_pages_of_operators_fit_desktop_and_phone(
    page: Page, lists: list[str], problems: list[str]
) -> None:
    """Wide tables scroll in themselves; nothing is refused by the policy of contents."""
    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        for address in (
            "/admin/",
            "/admin/connections/",
            "/admin/users/2/access/",
            "/admin/segments/access/?segment=NFO",
            "/admin/grants/?users=2,3",
        ):
            page.goto(address)
            assert page.evaluate(HIDDEN) == 0, address
    assert not problems


def serious(page: Page) -> set[str]:
    violations = Axe().run(page).response["violations"]
    return {one["id"] for one in violations if one["impact"] in ("serious", "critical")}


def test_axe_finds_nothing_that_djangos_pages_do_not_have(page: Page, lists: list[str]) -> None:
    """Of serious and critical faults, on the operator's pages."""
    page.goto("/admin/auth/group/")
    known = serious(page)
    for address in (
        "/admin/connections/",
        "/admin/users/2/access/",
        "/admin/segments/access/?segment=NFO",
        "/admin/grants/?users=2,3",
    ):
        page.goto(address)
        assert serious(page) <= known, address


def test_page_of_connections_renews_itself(
    page: Page, web: Web, lists: list[str], problems: list[str]
) -> None:
    """A client that connects appears without a reload, is closed by a link, and disappears."""
    page.goto("/admin/connections/")
    rows = page.locator('[data-table="connections"] tr[data-id]')
    assert page.get_by_label("Refresh every 5 s").is_checked()
    with connect(web.url, user_agent_header="<b>reader</b>/7") as client:
        client.send(json.dumps({"action": "subscribe", "symbol": "AAPL"}))
        rows.get_by_text("<b>reader</b>/7").wait_for()
        page.locator('[data-table="symbols"]').get_by_text("AAPL").wait_for()
        rows.get_by_role("link", name="Close").click()
        page.get_by_role("button", name="Close the connection").click()
        page.get_by_text("Closed the connection of an anonymous client").wait_for()
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                client.recv(timeout=DEADLINE_S)
        assert closed.value.rcvd and closed.value.rcvd.code == 4411
    rows.get_by_text("<b>reader</b>/7").wait_for(state="detached")
    assert not problems


def test_page_of_connections_works_without_javascript(
    chromium: Browser, cookie: Any, web: Web
) -> None:
    """As a table that shows what there was when the page was opened."""
    context = chromium.new_context(java_script_enabled=False)
    context.add_cookies([cookie])
    page = context.new_page()
    with connect(web.url, user_agent_header="reader/8") as client:
        client.send('{"action":"ping"}')
        client.recv(timeout=DEADLINE_S)
        page.goto(f"http://127.0.0.1:{web.port}/admin/connections/")
        assert page.get_by_text("reader/8").is_visible()
        assert not page.get_by_text("Refresh every 5 s").is_visible()
    context.close()
