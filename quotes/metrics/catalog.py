"""Every metric: its name, its type, its labels and its meaning.

Collectors give values to these names alone, and docs/metrics.md lists them (a test compares both).
Values of labels are bounded: never a symbol, a user or an address of a client.
"""

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """The types of Prometheus that are used."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(NamedTuple):
    """One metric, without the labels `process` and `worker` that all but the deployment's have.

    Attributes:
        name: with its prefix, and of a counter with `_total`.
        help: one sentence, without its full stop.
        labels: their names, in the order in which collectors give values.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

EACH_PROCESS = (
    Metric(
        "quotes_build_info",
        _G,
        "1; the labels are the version, Python's, and the kind of web server",
        ("version", "python", "server"),
    ),
    Metric("quotes_process_up", _G, "1 if the process answered this scrape, 0 if it hangs"),
    Metric(
        "quotes_event_loop_lag_seconds",
        _H,
        "Delay of a timer of the event loop that runs four times a second",
    ),
    Metric(
        "quotes_event_loop_stalled_seconds",
        _G,
        "Seconds for which the event loop has run nothing, 0 while it runs",
    ),
    Metric(
        "quotes_failed_tasks",
        _G,
        "Background tasks that do not work now, by whether prices stop meanwhile",
        ("stops_prices",),
    ),
    Metric(
        "quotes_redis_reconnects_total",
        _C,
        "Connections to Redis that were lost, and are made again",
    ),
    Metric("quotes_log_lines_total", _C, "Lines written to the log, by their level", ("level",)),
    Metric(
        "quotes_clock_offset_seconds",
        _G,
        "Seconds that the clock of this machine is ahead of Redis's",
    ),
    Metric("quotes_instruments", _G, "Instruments of the master in the memory of the process"),
    Metric("process_cpu_seconds_total", _C, "CPU seconds used, user and system"),
    Metric("process_resident_memory_bytes", _G, "Resident memory"),
    Metric("process_virtual_memory_bytes", _G, "Virtual memory"),
    Metric("process_open_fds", _G, "Open file descriptors"),
    Metric("process_max_fds", _G, "Maximum number of open file descriptors"),
    Metric("process_start_time_seconds", _G, "Start of the process, in Unix seconds"),
    Metric("process_threads", _G, "Threads"),
    Metric(
        "python_gc_collections_total",
        _C,
        "Passes of the garbage collector, by generation",
        ("generation",),
    ),
)

WEB = (
    Metric("quotes_connections", _G, "Open client connections, by door", ("door",)),
    Metric(
        "quotes_connections_opened_total", _C, "Client connections accepted, by door", ("door",)
    ),
    Metric(
        "quotes_connections_closed_total",
        _C,
        "Client connections that the server closed by code, or that ended otherwise (code none)",
        ("code",),
    ),
    Metric(
        "quotes_handshakes_refused_total",
        _C,
        "WebSocket handshakes answered with a status of HTTP",
        ("status",),
    ),
    Metric(
        "quotes_slow_connections",
        _G,
        "Connections that have yet to take more than QUOTES_HIGH_WATER_BYTES",
    ),
    Metric("quotes_unsent_bytes", _G, "Bytes due to clients that they have not taken"),
    Metric("quotes_subscriptions", _G, "Instruments subscribed to, summed over all clients"),
    Metric(
        "quotes_subscribed_streams", _G, "Different streams that clients of the process receive"
    ),
    Metric("quotes_deliveries_total", _C, "Prices handed to clients' connections"),
    Metric("quotes_frames_sent_total", _C, "WebSocket frames handed to clients' connections"),
    Metric("quotes_sent_bytes_total", _C, "Bytes written to clients' connections"),
    Metric(
        "quotes_conflated_prices_total",
        _C,
        "Prices that slow clients were not sent, a newer one took their place",
    ),
    Metric("quotes_client_messages_total", _C, "Messages that clients sent"),
    Metric(
        "quotes_client_errors_total",
        _C,
        "Messages answered with an error, by code",
        ("code",),
    ),
    Metric(
        "quotes_rejected_symbols_total",
        _C,
        "Symbols of subscriptions that were rejected, by code",
        ("code",),
    ),
    Metric("quotes_failed_clients_total", _C, "Clients ended because they could not be served"),
    Metric(
        "quotes_resumes_total",
        _C,
        "Symbols resumed from a position: recovered, or missed if ticks in between are lost",
        ("result",),
    ),
    Metric("quotes_resumed_ticks_total", _C, "Missed ticks sent to clients that resume"),
    Metric("quotes_prices_received_total", _C, "Ticks received from bridges"),
    Metric(
        "quotes_tick_latency_seconds",
        _H,
        "From the bridge's reading of a tick to the write to sockets, sampled once a flush",
    ),
    Metric("quotes_feed_state", _G, "1 for the state of the feed, 0 for the others", ("state",)),
    Metric(
        "quotes_feed_last_tick_timestamp_seconds", _G, "When the newest tick came, in Unix seconds"
    ),
    Metric(
        "quotes_http_requests_total",
        _C,
        "HTTP requests, by method, route and status",
        ("method", "route", "status"),
    ),
    Metric(
        "quotes_http_request_duration_seconds",
        _H,
        "Time to the answer of an HTTP request, without the streaming of its body",
        ("route",),
    ),
    Metric("quotes_ready", _G, "1 while /readyz answers 200, 0 while it answers 503"),
    Metric(
        "quotes_readiness_problem",
        _G,
        "1 for a part of /readyz that is not ok, else 0",
        ("part",),
    ),
    Metric("quotes_readiness_warnings", _G, "Warnings of /readyz"),
)

BRIDGE = (
    Metric("quotes_bridge_leader", _G, "1 if this bridge works, 0 if it stands by", ("shard",)),
    Metric("quotes_ticks_received_total", _C, "Messages from publishers", ("shard",)),
    Metric(
        "quotes_ticks_total",
        _C,
        "Messages by what became of them: shown, stale, bad, repeated or history",
        ("shard", "result"),
    ),
    Metric("quotes_ticks_written_total", _C, "Ticks for clients that Redis has taken", ("shard",)),
    Metric(
        "quotes_tick_fields_dropped_total",
        _C,
        "Fields of good ticks that were dropped because they hold no number",
        ("shard",),
    ),
    Metric(
        "quotes_last_tick_timestamp_seconds",
        _G,
        "When the last good message came, in Unix seconds",
        ("shard",),
    ),
    Metric(
        "quotes_bridge_intake_seconds",
        _H,
        "From a publish to the bridge's reading of it, measured by a message a second",
        ("shard",),
    ),
    Metric("quotes_bridge_write_seconds", _H, "Duration of a write to Redis", ("shard",)),
    Metric("quotes_bridge_pending_ticks", _G, "Ticks decided and not yet written", ("shard",)),
    Metric("quotes_streams", _G, "Names in use", ("shard",)),
    Metric("quotes_streams_limit", _G, "Names above which new ones are refused", ("shard",)),
    Metric("quotes_streams_let_go_total", _C, "Names forgotten to make room", ("shard",)),
    Metric(
        "quotes_silent_names",
        _G,
        "Names of which no tick is shown, because all are refused or late",
        ("shard", "reason"),
    ),
    Metric("quotes_log_bytes", _G, "Size of the tick log in Redis, about", ("shard",)),
    Metric(
        "quotes_log_trimmed_ticks_total",
        _C,
        "Ticks trimmed early from the log, because memory or bytes ran out",
        ("shard",),
    ),
)

RECORDER = (
    Metric("quotes_recorder_leader", _G, "1 if this recorder works, 0 if it stands by"),
    Metric("quotes_recorder_ticks_total", _C, "Ticks stored"),
    Metric("quotes_recorder_candle_writes_total", _C, "Candles written, new and changed"),
    Metric(
        "quotes_candle_revisions_total",
        _C,
        "Final candles that a late tick changed",
    ),
    Metric("quotes_recorder_gaps_total", _C, "Gaps in history that were recorded"),
    Metric("quotes_recorder_bad_entries_total", _C, "Entries of the log that cannot be read"),
    Metric("quotes_recorder_refused_ticks_total", _C, "Ticks that the database refused"),
    Metric("quotes_recorder_lag_ticks", _G, "Logged ticks that are not stored yet"),
    Metric(
        "quotes_recorder_position_timestamp_seconds",
        _G,
        "When the last stored entry was logged, in Unix seconds",
        ("shard",),
    ),
    Metric("quotes_recorder_commit_seconds", _H, "Time to store one batch"),
    Metric(
        "quotes_recorder_last_commit_timestamp_seconds",
        _G,
        "When the last batch was stored, in Unix seconds",
    ),
    Metric("quotes_recorder_failing", _G, "1 while nothing can be stored"),
)

KAFKA = (
    Metric(
        "quotes_kafka_messages_total",
        _C,
        "Messages consumed: live, history (too old to be shown) or bad",
        ("result",),
    ),
    Metric("quotes_kafka_lag_messages", _G, "Messages not read yet, without the backlog"),
    Metric("quotes_kafka_lag_seconds", _G, "Age of the last message that was read, 0 at the end"),
    Metric("quotes_kafka_partitions", _G, "Partitions of this consumer"),
    Metric("quotes_kafka_backlog_messages", _G, "Older messages still to be read into history"),
    Metric("quotes_kafka_backlog_read_total", _C, "Messages of backlogs that were read"),
    Metric("quotes_kafka_lost_messages_total", _C, "Messages deleted before they were read"),
    Metric("quotes_kafka_waiting", _G, "1 while the consumer takes no messages"),
    Metric("quotes_kafka_produced_ticks_total", _C, "Ticks written to KAFKA_PRODUCE_TOPIC"),
    Metric("quotes_kafka_producer_lag_ticks", _G, "Logged ticks not written to the topic yet"),
    Metric(
        "quotes_kafka_producer_missed_ticks_total",
        _C,
        "Ticks that left the log before they were written to the topic",
    ),
    Metric(
        "quotes_kafka_producer_last_write_timestamp_seconds",
        _G,
        "When ticks were last written to the topic, in Unix seconds",
    ),
    Metric("quotes_kafka_producer_failing", _G, "1 while the producer writes nothing"),
)

KITE = (
    Metric("quotes_kite_ticks_total", _C, "Ticks from Kite, published"),
    Metric("quotes_kite_connections", _G, "Connections to Kite that are open"),
    Metric("quotes_kite_instruments", _G, "Instruments taken from Kite"),
    Metric("quotes_kite_pending_ticks", _G, "Ticks that wait to be published"),
)

# Of the deployment or the machine: read in the background by the process that answers the scrape.
DEPLOYMENT = (
    Metric("quotes_redis_up", _G, "1 if Redis answered when it was read last"),
    Metric(
        "quotes_redis_read_timestamp_seconds",
        _G,
        "When Redis was last read for these metrics, in Unix seconds",
    ),
    Metric("quotes_redis_memory_used_bytes", _G, "Memory of Redis that counts against its limit"),
    Metric("quotes_redis_memory_limit_bytes", _G, "Redis's maxmemory, 0 if it has none"),
    Metric("quotes_redis_evicts", _G, "1 if Redis may delete keys when it is full"),
    Metric("quotes_redis_clients", _G, "Connections to Redis, of all programs"),
    Metric("quotes_shards", _G, "Shards of the market"),
    Metric("quotes_idle_shards", _G, "Shards on which no bridge works"),
    Metric("quotes_recorder_active", _G, "1 while a recorder works anywhere"),
    Metric("quotes_recorder_status_lag_ticks", _G, "Lag of the recorder by its status in Redis"),
    Metric("quotes_log_entries", _G, "Entries of the tick log", ("shard",)),
    Metric("quotes_log_ticks_total", _C, "Ticks that the log has taken in all", ("shard",)),
    Metric(
        "quotes_log_oldest_timestamp_seconds",
        _G,
        "When the oldest entry of the log was written, in Unix seconds",
        ("shard",),
    ),
    Metric("quotes_inbox_ticks", _G, "Ticks in the inbox that no bridge has logged yet"),
    Metric("quotes_kafka_consumers_active", _G, "Kafka consumers that work anywhere"),
    Metric("quotes_disk_free_bytes", _G, "Free bytes on a disk that holds data", ("folder",)),
    Metric("quotes_disk_free_limit_bytes", _G, "QUOTES_MIN_FREE_DISK_BYTES"),
)

SECTIONS = {
    "Each process": EACH_PROCESS,
    "Web": WEB,
    "Bridge": BRIDGE,
    "Recorder": RECORDER,
    "Kafka": KAFKA,
    "Kite": KITE,
    "The deployment": DEPLOYMENT,
}
METRICS = {one.name: one for section in SECTIONS.values() for one in section}
