"""Pictures of a running server for README and the documents: `python -m benchmarks.screenshots`.

It starts a server of its own with a market of a fixed seed, and writes `docs/images`. The market is
the same with each run; times and dates are those of the run. Needs Chromium, and the packages of
requirements-dev.txt; `make screenshots` brings these.
"""

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.processes import REPOSITORY, Child, Failed, free_port

IMAGES = REPOSITORY / "docs" / "images"
SYMBOLS = (
    *("NIFTY 50", "NIFTY BANK", "RELIANCE", "TCS", "HDFCBANK", "INFY", "ICICIBANK", "SBIN"),
    *("BHARTIARTL", "ITC", "LT", "M&M", "TATASTEEL", "SUNPHARMA", "MARUTI", "WIPRO"),
)
TERMINAL_TITLE = "manage.py watch_prices 'NIFTY 50' 'NIFTY BANK' RELIANCE ..."
SEED = 7
PASSWORD = "for-pictures-only"
START_S = 120.0
WARM_UP_S = 20.0
SETTLE_MS = 6000
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MASTER = (
    "from quotes.publish.simulation.master import simulated_master_fill as fill;"
    "from quotes.runtime.clock import today_in_india as today;"
    "from django.contrib.auth import get_user_model as users;"
    "fill(today=today());"
    f"users().objects.create_superuser('operator', '', '{PASSWORD}')"
)


@contextmanager
def market(folder: Path) -> Iterator[str]:
    """Run a server and a simulated market; yield the server's address."""
    port = free_port()
    environment = {
        "PORT": str(port),
        "REDIS_URL": f"redis://localhost:{free_port()}/0",
        "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
        "HISTORY_DATABASE_URL": f"sqlite:///{folder}/history.sqlite3",
        "QUOTES_EMBEDDED_FOLDER": str(folder / "valkey"),
        "QUOTES_CANDLES_ALL_HOURS": "true",
        "SECRET_KEY": "of pictures, which nobody but this run uses, and for no longer",
        "ALLOWED_HOSTS": "localhost",
        "HTTPS": "false",
    }

    def manage(name: str, *arguments: str) -> Child:
        command = [sys.executable, "manage.py", *arguments]
        return Child(name, command, folder / f"{name}.log", environment)

    for name, *arguments in (
        ("migrate", "migrate", "--verbosity", "0"),
        ("history", "migrate", "--database", "history", "--verbosity", "0"),
        ("master", "shell", "--no-imports", "-c", MASTER),
        ("past", "simulate_history", "--days", "5"),
    ):
        child = manage(name, *arguments)
        if child.process.wait():
            child.check()
    children = [manage("serve", "serve", "--port", str(port))]
    try:
        wait_for(children[0], lambda: "stop       Ctrl-C" in children[0].log.read_text())
        children.append(manage("market", "simulate_market", "--seed", str(SEED)))
        address = f"http://localhost:{port}"
        names = quote(",".join(SYMBOLS))
        wait_for(children[1], lambda: not missing(f"{address}/api/prices/?symbols={names}"))
        time.sleep(WARM_UP_S)  # candles, option chains and ranges fill
        yield address
    finally:
        for child in reversed(children):
            child.process.terminate()
            with suppress(Exception):
                child.process.wait(10)
            child.stop()


def missing(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)["missing"]


def wait_for(child: Child, is_done: Any) -> None:
    deadline = time.monotonic() + START_S
    while not is_done():
        child.check()
        if time.monotonic() > deadline:
            raise Failed(f"{child.name} was not ready within {START_S:g} s: see {child.log}")
        time.sleep(0.25)


def browser_pictures(address: str, images: Path) -> None:
    """Take the pictures of pages."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        raise Failed("no Chromium: install Debian's package chromium, or set CHROMIUM to its path")
    watch_list = f"{address}/"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])

        def opened(width: int, height: int, *, scheme: Any = "light", url: str = watch_list) -> Any:
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                reduced_motion="reduce",
                timezone_id="Asia/Kolkata",
                locale="en-IN",
            )
            page = context.new_page()
            page.set_default_timeout(60_000)
            page.goto(url)
            return page

        def saved(page: Any, name: str) -> None:
            page.screenshot(path=images / f"{name}.png")
            page.context.close()

        def board(row: str, panel: str, **options: Any) -> Any:
            page = opened(1440, 720, **options)
            page.wait_for_timeout(SETTLE_MS)
            page.get_by_role("row").filter(has_text=row).first.click()
            page.keyboard.press(panel)
            page.wait_for_timeout(SETTLE_MS)
            return page

        saved(board("RELIANCE", "c"), "desktop")
        saved(board("NIFTY 50", "c", scheme="dark"), "desktop-dark")
        saved(board("NIFTY 50", "o"), "option-chain")
        for name, scheme in (("phone", "light"), ("phone-dark", "dark")):
            phone = opened(390, 844, scheme=scheme)
            phone.wait_for_timeout(SETTLE_MS)
            saved(phone, name)
        admin = opened(1280, 720, url=f"{address}/admin/login/?next=/admin/instruments/instrument/")
        admin.fill("#id_username", "operator")
        admin.fill("#id_password", PASSWORD)
        admin.click("[type=submit]")
        admin.wait_for_load_state("networkidle")
        saved(admin, "admin")
        browser.close()


async def terminal_picture(address: str, images: Path) -> None:
    """Take the picture of `manage.py watch_prices`."""
    from quotes.screens.terminal.client_library import make_importable

    make_importable()
    from live_price import FeedChange, History, PriceClient, StateChange, Subscribed, Tick
    from rich.console import Console

    from quotes.screens.terminal.table import render
    from quotes.screens.terminal.watch_list import POINTS, WatchList

    names = SYMBOLS[:10]
    watched = WatchList(names)
    console = Console(record=True, width=100, height=16, file=StringIO(), force_terminal=True)
    client = PriceClient(f"{address.replace('http', 'ws', 1)}/live-price", exact=True)
    kinds: tuple[type, ...] = (StateChange, FeedChange)
    for kind in kinds:
        client.on(kind, watched.take)
    async with client as prices:
        subscription = prices.subscribe(names, mode="quote", history=POINTS)
        kinds = (Tick, History, Subscribed)
        for kind in kinds:
            subscription.on(kind, watched.take)
        await asyncio.sleep(WARM_UP_S)
        await prices.ping()
        watched.clock_offset_ms = prices.clock_offset_ms or 0.0
        console.print(render(watched, console))
    console.save_svg(str(images / "terminal.svg"), title=TERMINAL_TITLE, unique_id="terminal")


def main() -> None:
    parser = argparse.ArgumentParser(description="Take the pictures of README and the documents.")
    parser.add_argument("--to", type=Path, default=IMAGES, metavar="FOLDER", help="where they go")
    images: Path = parser.parse_args().to
    images.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="live-price-", ignore_cleanup_errors=True) as folder:
        try:
            with market(Path(folder)) as address:
                asyncio.run(terminal_picture(address, images))
                browser_pictures(address, images)
        except Failed as error:
            sys.exit(str(error))
    for path in sorted(images.iterdir()):
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
