"""The exporter: whichever process of a machine has the address of QUOTES_METRICS answers for all.

Each process runs a thread that either listens at the address, or has joined the process that does.
When that one ends, another takes the address within a second. Nothing here is in the way of a
price: samples are read from memory when a scrape comes, and Redis is read by a thread of its own
(`deployment.py`).
"""

import contextlib
import errno
import logging
import socket
import threading
from collections.abc import Iterator, Sequence

from quotes.metrics.address import MetricsAddress, deployment_key, metrics_address
from quotes.metrics.deployment import DeploymentReader
from quotes.metrics.exposition import ProcessSamples, exposition
from quotes.metrics.link import Members, Refused, answer_requests, join
from quotes.metrics.process import ProcessCollector
from quotes.metrics.samples import Collect, Sample, Samples, encode
from quotes.metrics.server import MetricsServer
from quotes.runtime.identity import ProcessIdentity
from quotes.runtime.warnings import RateLimitedWarnings

logger = logging.getLogger(__name__)
_warn = RateLimitedWarnings(logger)

# How long processes may take to answer a scrape; Prometheus waits 10 s.
COLLECT_TIMEOUT_S = 1.0
_RETRY_S = 0.5
_STOP_TIMEOUT_S = 1.0
# While another program has the address, or it is not one of this machine.
_LONG_RETRY_S = 30.0


class Exporter:
    """The metrics of one process.

    Args:
        process: its kind, such as web or bridge.
        worker: the number under which it wants to be shown; "": any that is free.
        collect: adds the samples of what runs in this process; called in a thread, and may not
            wait. One that raises is left out of the scrape, and logged.
        server: the kind of web server, for `quotes_build_info`.
    """

    def __init__(
        self,
        process: str,
        *,
        address: MetricsAddress,
        worker: str = "",
        collect: Sequence[Collect] = (),
        server: str = "",
    ) -> None:
        self.process = process
        self.worker = worker
        self._address = address
        self._collectors: list[Collect] = [ProcessCollector(server=server), *collect]
        self._key = deployment_key()
        self._stopping = threading.Event()
        self._members = Members()
        self._scraping = threading.Lock()
        self._deployment: DeploymentReader | None = None
        self._server: MetricsServer | None = None
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    @property
    def is_answering(self) -> bool:
        """Whether this process answers scrapes for the machine."""
        return self._server is not None

    def start(self) -> None:
        """Begin; nothing of it waits for another process."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for it a moment."""
        self._stopping.set()
        if self._server is not None:
            self._server.end()
        if (connection := self._connection) is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(_STOP_TIMEOUT_S)

    def own_samples(self) -> list[Sample]:
        """Return the samples of this process."""
        samples = Samples()
        for collect in self._collectors:
            try:
                collect(samples)
            except Exception as error:  # one part that fails takes no other with it
                _warn("metrics could not be read:", repr(collect), error=error)
        return samples.taken

    def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """Return the text of all processes of the machine, and its type; this process answers."""
        with self._scraping:
            processes = [ProcessSamples(self.process, self.worker or "1", self._own_and_shared())]
            for member, samples in self._members.collect(COLLECT_TIMEOUT_S):
                found = [Sample("quotes_process_up", (), 0)] if samples is None else samples
                processes.append(ProcessSamples(member.process, member.worker, found))
        return exposition(processes, accept=accept)

    def _own_and_shared(self) -> list[Sample]:
        shared = self._deployment.samples() if self._deployment is not None else []
        return self.own_samples() + shared

    def _run(self) -> None:
        while not self._stopping.is_set():
            pause_s = _RETRY_S
            try:
                if not self._answer_scrapes():
                    self._join()
            except Refused as error:
                pause_s = _LONG_RETRY_S
                _warn(
                    "metrics of this process are not shown",
                    f"{self._address} {error}: set QUOTES_METRICS to another address, or to off",
                )
            except OSError as error:
                if error.errno in (errno.EADDRNOTAVAIL, errno.EACCES) or isinstance(
                    error, socket.gaierror
                ):
                    pause_s = _LONG_RETRY_S
                    _warn(
                        "metrics of this process are not shown",
                        f"cannot listen at {self._address} ({error.strerror}): set QUOTES_METRICS "
                        "to an address of this machine",
                    )
            except Exception as error:
                _warn("metrics", "failed", error=error)
            self._stopping.wait(pause_s)

    def _answer_scrapes(self) -> bool:
        """Answer scrapes until stopped; return False if another process has the address."""
        try:
            server = MetricsServer(self._address, key=self._key, exporter=self)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
        self._deployment = DeploymentReader()
        self._deployment.start()
        self._server = server
        try:
            if not self._stopping.is_set():
                server.serve()
        finally:
            self._server = None
            server.close()
            self._members.close()
            self._deployment.stop()
            self._deployment = None
        return True

    def _join(self) -> None:
        """Let the process that has the address answer for this one, until it ends."""
        connection, self.worker = join(
            self._address.local, key=self._key, process=self.process, worker=self.worker
        )
        self._connection = connection
        try:
            if not self._stopping.is_set():
                answer_requests(connection, lambda: encode(self.own_samples()))
        finally:
            self._connection = None
            connection.close()

    def take(self, connection: socket.socket, process: str, worker: str) -> str:
        """Take another process in; return the number under which it is shown."""
        taken = {self.worker or "1"} if process == self.process else set()
        return self._members.add(connection, process, worker, taken=taken).worker


_exporter: Exporter | None = None


def start_exporter(
    process: ProcessIdentity, *, collect: Sequence[Collect] = (), server: str = ""
) -> Exporter | None:
    """Start the exporter of this process, once; None while QUOTES_METRICS is off.

    Raises:
        ImproperlyConfigured: QUOTES_METRICS is no address.
    """
    global _exporter
    address = metrics_address()
    if address is None:
        return None
    if _exporter is None:
        _exporter = Exporter(
            process.kind, worker=process.worker, address=address, collect=collect, server=server
        )
        _exporter.start()
    return _exporter


def current_exporter() -> Exporter | None:
    """Return the exporter of this process, if it has one."""
    return _exporter


@contextlib.contextmanager
def exporting(
    process: ProcessIdentity, *, collect: Sequence[Collect] = ()
) -> Iterator[Exporter | None]:
    """Export the metrics of this process inside the block."""
    try:
        yield start_exporter(process, collect=collect)
    finally:
        stop_exporter()


def stop_exporter() -> None:
    """Stop the exporter of this process, if it has one."""
    global _exporter
    exporter, _exporter = _exporter, None
    if exporter is not None:
        exporter.stop()
