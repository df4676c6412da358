"""The supervisor: starts child processes, restarts those that die, and ends them all.

It knows nothing of prices: `processes.py` lists the processes. Each child leads a session of its
own, so Ctrl-C reaches the supervisor alone, which then ends the stages from the last to the first:
what writes to Redis ends before Redis does.
"""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from quotes.serve.child import Child, ChildRun, exit_phrase
from quotes.serve.console import Console
from quotes.serve.orphan_guard import OrphanGuard, signal_group

OWN_NAME = "serve"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MAX_FAILED_STARTS = 5


class ChildNotReady(Exception):
    """A child that others need did not become ready at the start."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Periods of the supervisor, in seconds."""

    first_delay: float = 0.5
    longest_delay: float = 10.0
    stable: float = 30.0  # a child that ran this long starts again after the first delay
    failed_start: float = 5.0  # a child that ended sooner never worked: Django takes 2 s to load
    ready: float = 10.0
    stop: float = 4.0  # from SIGTERM to SIGKILL, for all stages together
    guard_grace: float = 2.0  # the same for the guard, once the supervisor was killed
    stage_reserve: float = 0.75  # of it, what a stage leaves to each stage that ends after it


class Supervisor:
    """Keeps children running until SIGINT, SIGTERM or SIGHUP.

    A child that dies is restarted after a delay that doubles from 0.5 s to 10 s, however often,
    since its cause (a disk, a network, a wrong setting of a service) may be repaired while the
    others work. Only a child that does not become ready at the start ends everything. Runs once, in
    the main thread's event loop, whose signal handlers it takes.
    """

    def __init__(
        self,
        children: Sequence[Child],
        console: Console,
        *,
        started: Callable[[], Awaitable[None]] | None = None,
        stopping: Callable[[], None] | None = None,
        timing: Timing | None = None,
    ) -> None:
        """
        Args:
            started: called when every child was started and is ready.
            stopping: called before the first child is ended.
        """
        self.children = children
        self.console = console
        self.started = started
        self.on_stopping = stopping
        self.timing = timing or Timing()
        self.runs: dict[str, ChildRun] = {}  # child's name -> its current run
        self.tasks: dict[str, asyncio.Task[None]] = {}  # child's name -> what keeps it running
        self.stopping = asyncio.Event()

    def say(self, text: str) -> None:
        self.console.line(OWN_NAME, text)

    async def run(self) -> None:
        """Run the children until a signal says stop; end every one of them, however it returns.

        Raises:
            ChildNotReady: a child that others wait for did not become ready.
        """
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
                loop.add_signal_handler(number, self.interrupt)
        self._start_guard()
        starting = asyncio.create_task(self.start())
        stopped = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
            await stopped
        finally:
            self.stopping.set()
            starting.cancel()
            await self.stop()
            loop.remove_reader(self.guard.output)
            self.guard.close()
        for task in self.tasks.values():
            if task.done():
                task.result()

    def _start_guard(self) -> None:
        """Start a guard that watches every run, and another when it dies."""

        def replace() -> None:
            loop.remove_reader(self.guard.output)
            self.guard.close()
            self._start_guard()

        loop = asyncio.get_running_loop()
        groups = [run.group for run in self.runs.values()]
        self.guard = OrphanGuard(groups, grace_s=self.timing.guard_grace)
        loop.add_reader(self.guard.output, replace)

    def interrupt(self) -> None:
        """Stop; the second time, kill."""
        if self.stopping.is_set():
            self.signal(self.runs, signal.SIGKILL)
        self.stopping.set()

    async def start(self) -> None:
        """Start the stages one after another, each when the one before it is ready."""

        def check(task: asyncio.Task[None]) -> None:
            # An error of the supervisor's own: run() raises it once everything has ended.
            if not task.cancelled() and task.exception():
                self.stopping.set()

        for stage in sorted({child.stage for child in self.children}):
            members = [child for child in self.children if child.stage == stage]
            for child in members:
                self.tasks[child.name] = asyncio.create_task(self.keep_running(child))
                self.tasks[child.name].add_done_callback(check)
            for child in members:
                await self.until_ready(child)
        if self.started:
            await self.started()

    async def until_ready(self, child: Child) -> None:
        deadline = asyncio.get_running_loop().time() + self.timing.ready
        while child.ready and not await asyncio.to_thread(child.ready):
            if asyncio.get_running_loop().time() > deadline:
                raise ChildNotReady(
                    f"{child.name} was not ready within {self.timing.ready:g} s: "
                    "see its lines above"
                )
            await asyncio.sleep(0.05)

    async def keep_running(self, child: Child) -> None:
        """Run the child again and again until the supervisor stops."""
        timing, loop = self.timing, asyncio.get_running_loop()
        delay, failed_starts = timing.first_delay, 0
        while not self.stopping.is_set():
            begun = loop.time()
            ending = await self.run_once(child)
            ran = loop.time() - begun
            if self.stopping.is_set():
                return
            if ran >= timing.stable:
                delay = timing.first_delay
            failed_starts = failed_starts + 1 if ran < timing.failed_start else 0
            self.say(f"{child.name} {ending}, restarting in {delay:g} s")
            if failed_starts >= MAX_FAILED_STARTS:
                self.say(
                    f"{child.name} failed to start {failed_starts} times in a row: fix the error "
                    "in its lines above, and it starts by itself"
                )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), delay)
            delay = min(delay * 2, timing.longest_delay)

    async def run_once(self, child: Child) -> str:
        """Run the child until it ends; return how it ended, as a phrase."""
        try:
            run = await ChildRun.begin(child, self.console)
        except OSError as error:
            return f"could not be started ({error.strerror})"
        self.runs[child.name] = run
        self.guard.add(run.group)
        run.release()
        if self.stopping.is_set():
            signal_group(run.group, signal.SIGTERM)
        try:
            status = await run.end()
        finally:
            # What it started itself and left behind would hold its port or its files.
            signal_group(run.group, signal.SIGKILL)
            del self.runs[child.name]
            self.guard.remove(run.group)
        await run.finish_output()
        return exit_phrase(status)

    async def stop(self) -> None:
        """End the stages from the last to the first, within the time that Timing allows."""
        timing, loop = self.timing, asyncio.get_running_loop()
        begun = loop.time()
        deadline = begun + timing.stop
        self.say("stopping")
        if self.on_stopping:
            self.on_stopping()
        stages = sorted({child.stage for child in self.children})
        while stages:
            stage = stages.pop()
            names = [child.name for child in self.children if child.stage == stage]
            self.signal(names, signal.SIGTERM)
            await self.wait_for(names, deadline - len(stages) * timing.stage_reserve)
        await self.wait_for(self.tasks, deadline)
        for name in self.runs:
            self.say(f"killing {name}, which did not stop within {timing.stop:g} s")
        self.signal(self.runs, signal.SIGKILL)
        await self.wait_for(self.tasks, loop.time() + 0.5)
        self.say(f"stopped in {loop.time() - begun:.1f} s")

    def signal(self, names: Iterable[str], number: signal.Signals) -> None:
        for name in names:
            if name in self.runs:
                signal_group(self.runs[name].group, number)

    async def wait_for(self, names: Iterable[str], deadline: float) -> None:
        tasks = [self.tasks[name] for name in names if name in self.tasks]
        if tasks:
            timeout_s = deadline - asyncio.get_running_loop().time()
            await asyncio.wait(tasks, timeout=max(0.0, timeout_s))
