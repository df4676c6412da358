"""`python -m benchmarks.dashboard [--symbols 500] [--hertz 5] [--seconds 60]`: are frames in time?

Runs the whole service, publishes prices of all symbols and shows their list in a headless Chromium.
A frame is the time between two timestamps of requestAnimationFrame; long tasks come from the
browser's observer, the CPU time of the main thread and the memory, after a collection, from its
DevTools protocol. Needs Playwright (requirements-dev.txt) and a Chromium, at CHROMIUM or in PATH.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from redis import Redis

from benchmarks.contenders import DJANGO, MANAGE
from benchmarks.processes import Child, Failed, free_ports

START_S = 60
WARM_UP_S = 5
BATCHES_PER_S = 50
MIB = 1 << 20
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True}
DESKTOP = {"viewport": {"width": 1366, "height": 768}}

WATCH_FRAMES = """() => {
  const watch = { frames: [], longTasks: [], last: 0 };
  const frame = (now) => {
    if (watch.last) watch.frames.push(now - watch.last);
    watch.last = now;
    watch.request = requestAnimationFrame(frame);
  };
  watch.request = requestAnimationFrame(frame);
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) watch.longTasks.push(entry.duration);
  }).observe({ entryTypes: ["longtask"] });
  window.watchedFrames = watch;
}"""
READ_FRAMES = """() => {
  cancelAnimationFrame(window.watchedFrames.request);
  const { frames, longTasks } = window.watchedFrames;
  return { frames, longTasks, rows: document.querySelectorAll(".grid-space .row").length };
}"""


class Market(threading.Thread):
    """Publishes a price of each symbol so many times a second, as a publisher would.

    Attributes:
        published: how many prices there were.
    """

    def __init__(self, redis: Redis, symbols: Sequence[str], hertz: float) -> None:
        super().__init__(daemon=True)
        self.redis = redis
        self.per_batch = max(1, round(len(symbols) * hertz / BATCHES_PER_S))
        self.chance = random.Random(1)
        self.prices = {symbol: self.chance.randint(10_000, 400_000) for symbol in symbols}
        self.names = list(symbols)
        self.published = 0
        self.ended = threading.Event()

    def run(self) -> None:
        began = time.monotonic()
        batch = 0
        while not self.ended.wait(max(0.0, began + batch / BATCHES_PER_S - time.monotonic())):
            batch += 1
            pipeline = self.redis.pipeline(transaction=False)
            for _ in range(self.per_batch):
                self.publish(pipeline, self.names[self.published % len(self.names)])
                self.published += 1
            pipeline.execute()

    def publish(self, pipeline: Any, symbol: str) -> None:
        price = self.prices[symbol] = max(100, self.prices[symbol] + self.chance.randint(-20, 20))
        rupees = price / 100
        text = json.dumps(
            {
                "symbol": symbol,
                "price": rupees,
                "timestamp": time.time_ns() // 1_000_000,
                "volume": self.published,
                "prev_close": 2000.0,
                "low": round(rupees * 0.98, 2),
                "high": round(rupees * 1.02, 2),
                "bid": round(rupees - 0.05, 2),
                "ask": round(rupees + 0.05, 2),
            }
        )
        pipeline.set(f"stock:{symbol}", text)
        pipeline.publish(f"stock:{symbol}", text)


def started_service(stack: ExitStack) -> tuple[str, Redis]:
    """Start the service, and return its address and a client of its Redis."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
    port, redis_port = free_ports(2)
    environment = {
        name: value.format(folder=folder, redis_port=redis_port) for name, value in DJANGO.items()
    }
    environment |= {
        "PORT": str(port),
        "REDIS_PORT": str(redis_port),
        "HISTORY_DATABASE_URL": f"sqlite:///{folder}/history.sqlite3",
    }
    for number, options in enumerate(((), ("--database", "history"))):
        log = folder / f"migrate{number}.log"
        migration = Child("migrate", [*MANAGE, "migrate", "-v0", *options], log, environment)
        stack.callback(migration.stop)
        if migration.process.wait():
            migration.check()
    service = Child("serve", [*MANAGE, "serve"], folder / "serve.log", environment)
    stack.callback(service.stop)
    url = f"http://127.0.0.1:{port}/"
    deadline = time.monotonic() + START_S
    while not answers(url):
        service.check()
        if time.monotonic() > deadline:
            raise Failed(f"the service is not ready after {START_S} s")
        time.sleep(0.2)
    return url, stack.enter_context(Redis(port=redis_port))


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def measure(symbols: int, hertz: float, seconds: float, *, phone: bool = False) -> dict[str, Any]:
    """Return what was measured while the page showed the symbols for so many seconds."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        raise Failed("no Chromium: install Debian's package chromium, or set CHROMIUM to its path")
    names = [f"SYM{number:04}" for number in range(symbols)]
    with ExitStack() as stack:
        url, redis = started_service(stack)
        market = Market(redis, names, hertz)
        market.start()
        stack.callback(market.join)
        stack.callback(market.ended.set)
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        stack.callback(browser.close)
        options: dict[str, Any] = PHONE if phone else DESKTOP
        context = browser.new_context(**options)
        page = context.new_page()
        page.goto(f"{url}#{','.join(names)}")
        page.locator(".grid-space .c-volume", has_text="1").first.wait_for(state="attached")
        page.wait_for_timeout(WARM_UP_S * 1000)
        published = market.published
        found = watch_page(context, page, seconds)
        published = market.published - published
    return {"prices_per_s": round(published / seconds), **found}


def watch_page(context: Any, page: Any, seconds: float) -> dict[str, Any]:
    """Return what frames, tasks and memory of a page were like in the next seconds."""
    tools = context.new_cdp_session(page)
    # CPU time of the thread, whatever else the machine does.
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = metrics(tools)
    page.evaluate(WATCH_FRAMES)
    page.wait_for_timeout(seconds * 1000)
    watched = page.evaluate(READ_FRAMES)
    return summary(watched, before, metrics(tools))


def metrics(tools: Any) -> dict[str, float]:
    tools.send("HeapProfiler.collectGarbage")
    return {one["name"]: one["value"] for one in tools.send("Performance.getMetrics")["metrics"]}


def summary(
    watched: dict[str, Any], before: dict[str, float], after: dict[str, float]
) -> dict[str, Any]:
    frames = sorted(watched["frames"])

    def percentile(part: float) -> float:
        return float(round(frames[min(len(frames) - 1, int(len(frames) * part))], 1))

    def spent(name: str) -> float:
        return round(after[name] - before[name], 2)

    return {
        "frames": len(frames),
        "frame_ms": {
            "p50": percentile(0.5),
            "p95": percentile(0.95),
            "p99": percentile(0.99),
            "max": round(frames[-1], 1),
        },
        "long_tasks": len(watched["longTasks"]),
        "longest_task_ms": round(max(watched["longTasks"], default=0.0), 1),
        "main_thread_cpu_s": {
            "tasks": spent("TaskDuration"),
            "script": spent("ScriptDuration"),
            "style": spent("RecalcStyleDuration"),
            "layout": spent("LayoutDuration"),
        },
        "rows": watched["rows"],
        "nodes": [int(before["Nodes"]), int(after["Nodes"])],
        "heap_mib": [round(one["JSHeapUsedSize"] / MIB, 2) for one in (before, after)],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dashboard", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--symbols", type=int, default=500, help="in the list; default: 500")
    parser.add_argument(
        "--hertz", type=float, default=5, help="prices a second of each; default: 5"
    )
    parser.add_argument("--seconds", type=float, default=60, help="to measure; default: 60")
    parser.add_argument("--phone", action="store_true", help="a phone's screen of 360 pixels")
    options = parser.parse_args(arguments)
    try:
        found = measure(options.symbols, options.hertz, options.seconds, phone=options.phone)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
