"""What any process reports of itself: CPU, memory, files, its event loop and its tasks."""

import gc
import os
import platform
import threading
from pathlib import Path

from instruments.index import index
from quotes.metrics.samples import Samples
from quotes.runtime.failed_tasks import failed_tasks
from quotes.runtime.log_lines import lines
from quotes.runtime.loop_lag import loop_lag
from quotes.runtime.redis_link import reconnects
from quotes.runtime.version import server_version
from quotes.store.redis_clock import redis_clock

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_PROC = Path("/proc/self")


class ProcessCollector:
    """Collects what every process has; what the operating system does not tell is left out.

    Args:
        server: the kind of web server; "" of other processes.
    """

    def __init__(self, *, server: str = "") -> None:
        self._build = server_version(), platform.python_version(), server
        self._started_at = _start_time()

    def __call__(self, samples: Samples) -> None:
        samples.add("quotes_build_info", 1, *self._build)
        samples.add("quotes_process_up", 1)
        self._add_tasks(samples)
        samples.add("quotes_redis_reconnects_total", reconnects.count)
        samples.add_each("quotes_log_lines_total", lines)
        samples.add("quotes_clock_offset_seconds", redis_clock.difference_ms / 1000)
        samples.add("quotes_instruments", len(index))
        self._add_resources(samples)
        for generation, stats in enumerate(gc.get_stats()):
            samples.add("python_gc_collections_total", stats["collections"], str(generation))

    def _add_tasks(self, samples: Samples) -> None:
        stalled_s = loop_lag.stalled_s
        if stalled_s is not None:
            samples.add("quotes_event_loop_stalled_seconds", stalled_s)
            samples.add("quotes_event_loop_lag_seconds", loop_lag.delays.state())
        failures = failed_tasks()
        vital = sum(one.stops_prices for one in failures)
        samples.add("quotes_failed_tasks", vital, "true")
        samples.add("quotes_failed_tasks", len(failures) - vital, "false")

    def _add_resources(self, samples: Samples) -> None:
        used = os.times()
        samples.add("process_cpu_seconds_total", used.user + used.system)
        samples.add("process_threads", threading.active_count())
        samples.add("process_start_time_seconds", self._started_at)
        if resource is not None:
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            samples.add("process_max_fds", limit if limit >= 0 else None)
        try:
            pages = (_PROC / "statm").read_text().split()
            size = os.sysconf("SC_PAGE_SIZE")
            samples.add("process_virtual_memory_bytes", int(pages[0]) * size)
            samples.add("process_resident_memory_bytes", int(pages[1]) * size)
            samples.add("process_open_fds", len(os.listdir(_PROC / "fd")))
        except (OSError, ValueError, LookupError):  # not Linux
            return


def _start_time() -> float | None:
    """Return when this process started, in Unix seconds; None where that is not known."""
    try:
        after_boot = int((_PROC / "stat").read_text().rpartition(")")[2].split()[19])
        lines = Path("/proc/stat").read_text().splitlines()
        booted_at = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
        return booted_at + after_boot / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, LookupError, StopIteration):
        return None
