"""Settings of the quotes app: each a typed property with its default, read lazily."""

from instruments.conf import Setting, SettingsGroup

# The doors for programs that speak other protocols.
DOORS = ("socketio", "kite", "openalgo", "udf")


class QuotesSettings(SettingsGroup):
    prefix = "QUOTES"

    channel_prefix = Setting(
        "stock:", "Prefix of publishers' keys and channels; the symbol follows."
    )
    key_prefix = Setting("quotes:", "Prefix of the server's own keys and channels in Redis.")
    strict_symbols = Setting(False, "Reject symbols that are not in the instrument master (404).")
    max_ahead_s = Setting(
        120.0,
        "Seconds that the timestamp of a tick may be ahead of the clock.",
        least=0,
    )
    log_format = Setting(
        "text",
        "Format of the log: text for people, json for machines.",
        choices=("text", "json"),
    )
    metrics = Setting(
        "127.0.0.1:9464",
        "Address at which one process of a machine answers `/metrics` for all; off: none does.",
    )
    metrics_token = Setting(
        "",
        "Bearer token that a scrape presents; empty: none, and at the port for clients this "
        "machine alone may scrape.",
    )
    tracing_url = Setting(
        "", "URL of a collector of OpenTelemetry that takes OTLP over HTTP; empty: no traces."
    )
    speedups = Setting(True, "Use the package `quotes-speedups` if it is installed.")
    bridge_lease_ms = Setting(
        2000, "Milliseconds before a standby takes over from a bridge that died.", least=300
    )
    report_interval_s = Setting(
        10.0,
        "Seconds between the lines of counters of bridge, recorder and Kafka consumer.",
        least=0.1,
    )
    log_max_ticks = Setting(
        2_000_000,
        "Maximum number of ticks in the tick log of each shard, about 200 bytes each.",
        least=1,
    )
    log_max_bytes = Setting(
        1 << 30,
        "Maximum size of the tick log of each shard in Redis, in bytes.",
        least=1 << 20,
    )
    log_max_age_s = Setting(86_400.0, "Seconds that ticks stay in the tick log.", least=1.0)
    forget_after_days = Setting(
        30.0,
        "Days after its last tick at which a name may be forgotten to make room for others.",
        least=1.0,
    )
    inbox_max_ticks = Setting(
        1_000_000,
        "Maximum number of ticks that wait for a bridge; publishing fails above it.",
        least=1,
    )
    record_every_ms = Setting(
        200, "Minimum milliseconds between two writes of the recorder.", least=0
    )
    recorder_lease_ms = Setting(
        5000, "Milliseconds before a standby takes over from a recorder that died.", least=500
    )
    candles_all_hours = Setting(
        False, "Include ticks outside trading hours and on holidays in candles."
    )
    candle_grace_ms = Setting(
        3000, "Milliseconds to wait for late ticks before a candle is final.", least=0
    )
    keep_history = Setting("", "Days to keep ticks and candles, such as `ticks=90, NFO:1m=400`.")
    prune_every_s = Setting(
        600.0, "Seconds between two runs of the pruner of `serve`, for rules in hours.", least=1.0
    )
    min_free_disk_bytes = Setting(
        1 << 30, "Free bytes on a disk that holds data, below which there is a warning.", least=0
    )
    history_page_rows = Setting(
        5000, "Rows on a page of history over REST, unless the request sets a lower limit.", least=1
    )
    history_max_rows = Setting(
        1_000_000, "Maximum number of rows in one streamed response of history.", least=1
    )
    history_max_instruments = Setting(
        100, "Maximum number of instruments in one request for candles.", least=1
    )
    history_max_days = Setting(
        "ticks=7,1m=60,3m=100,5m=100,10m=100,15m=200,30m=200,60m=400,1d=4000,1w=20000,1M=20000",
        "Longest range of a request for history, in days, for ticks and each interval.",
    )
    resume_ticks = Setting(
        50_000,
        "Newest ticks of each log that a web process keeps in memory while clients resume.",
        least=1,
    )
    resume_max_ticks = Setting(
        10_000,
        "Maximum number of missed ticks of one symbol sent to a client that resumes.",
        least=1,
    )
    history_max_ticks = Setting(
        1000, "Maximum number of past ticks or candles per symbol in a subscription.", least=1
    )
    embedded_folder = Setting(
        "var/valkey",
        "Folder for the files of the embedded Redis, relative to the project's folder.",
    )
    embedded_persistent = Setting(True, "Keep prices when the embedded Redis restarts.")
    heartbeat_s = Setting(
        15.0, "Seconds without a frame before the server sends a heartbeat.", least=0.1
    )
    quiet_after_s = Setting(
        15.0,
        "Seconds without a tick of any symbol before the feed is reported as quiet.",
        least=0.1,
    )
    redis_timeout_s = Setting(
        1.0,
        "Seconds that a client's request waits for Redis, in all, before it is answered without.",
        least=0.05,
    )
    feed_timeout_s = Setting(
        2.0, "Seconds without a sign of the bridge before the feed is reported as down.", least=0.1
    )
    max_symbols = Setting(3000, "Maximum number of symbols per connection.", least=1)
    max_segment_symbols = Setting(
        100_000,
        "Maximum number of symbols per connection by subscriptions to whole segments.",
        least=1,
    )
    max_message_bytes = Setting(262144, "Maximum size of a client's message, in bytes.", least=256)
    max_messages_per_s = Setting(
        50.0,
        "Messages per second that a client may send on average; bursts may be four times that.",
        least=0.1,
    )
    high_water_bytes = Setting(
        65536, "Unsent bytes above which a slow client's prices are conflated.", least=1024
    )
    send_buffer_bytes = Setting(
        131072, "Kernel send buffer of each connection (SO_SNDBUF), in bytes.", least=4096
    )
    write_timeout_s = Setting(
        10.0,
        "Seconds after which a client that reads nothing is disconnected (close code 4408).",
        least=0.1,
    )
    drain_s = Setting(
        5.0,
        "Seconds in which a web process that stops moves its clients elsewhere.",
        least=0.0,
    )
    allowed_origins = Setting(
        "", "Origins of other sites whose pages may connect, comma-separated."
    )
    local_origins = Setting(
        False, "Let pages of this machine connect: of a file, or of another port of localhost."
    )

    doors = Setting(
        ",".join(DOORS), "Open doors for programs that speak other protocols, comma-separated."
    )
    screens = Setting(True, "Serve the dashboard at `/` and the documents at `/docs/`.")
    auth = Setting(
        "optional",
        "Whether callers must authenticate to see prices.",
        choices=("optional", "required"),
    )
    anonymous_segments = Setting(
        "*", "Segments open to everybody while QUOTES_AUTH is optional; NFO@15 is 15 minutes late."
    )
    query_token = Setting(False, "Accept tokens in the URL of a WebSocket (?token=).")
    jwt_algorithm = Setting(
        "HS256",
        "Algorithm with which this server signs tokens.",
        choices=("HS256", "RS256", "ES256"),
    )
    jwt_key = Setting("", "Secret of HS256, at least 32 bytes; derived from SECRET_KEY if empty.")
    jwt_old_keys = Setting(
        "", "Earlier HS256 secrets, comma-separated, whose tokens are still accepted."
    )
    jwt_private_key_file = Setting("", "PEM file of the private key for RS256 or ES256.")
    jwt_public_key_files = Setting(
        "", "PEM files of further public keys, comma-separated, whose tokens are accepted."
    )
    jwt_issuer = Setting("live-prices", "The `iss` claim of this server's tokens.")
    jwt_audience = Setting("live-prices", "The `aud` claim of this server's tokens.")
    access_token_s = Setting(900, "Lifetime of an access token, in seconds.", least=1)
    refresh_token_s = Setting(86400, "Lifetime of a refresh token, in seconds.", least=1)
    jwks_url = Setting("", "URL of an external issuer's keys (JWKS).")
    jwks_issuer = Setting("", "Required `iss` claim of the external issuer's tokens.")
    jwks_audience = Setting("", "Required `aud` claim of the external issuer's tokens.")
    jwks_user_claim = Setting(
        "sub", "Claim of the external issuer's tokens that holds the user name."
    )
    handshake_timeout_s = Setting(
        10.0,
        "Seconds that the headers of a request may take, from a new connection or its first byte.",
        least=0.1,
    )
    body_timeout_s = Setting(
        10.0,
        "Seconds that the body of a request may take, besides those that its size allows.",
        least=0.1,
    )
    min_bytes_per_s = Setting(
        16384,
        "Bytes of a request's body or of an answer that allow a second more for the rest.",
        least=1,
    )
    auth_timeout_s = Setting(10.0, "Seconds a client may take to authenticate.", least=0.1)
    token_warning_s = Setting(
        60.0, "Seconds before a token expires at which the server warns the client.", least=0
    )
    token_grace_s = Setting(
        30.0, "Seconds after a token expires in which the client may still renew it.", least=0
    )
    max_connections = Setting(
        100000, "Maximum number of WebSockets, over all processes that share the Redis.", least=1
    )
    max_connections_per_user = Setting(5, "Maximum number of WebSockets per user.", least=1)
    max_connections_per_address = Setting(
        50, "Maximum number of WebSockets per address; local connections are not counted.", least=1
    )
    connection_lease_ms = Setting(
        9000,
        "Milliseconds for which the connections of a dead web process are still counted.",
        least=500,
    )
    rest_per_minute = Setting(
        600, "Maximum number of REST requests per minute and user or address.", least=1
    )
    url_key_per_minute = Setting(120, "Maximum number of requests per minute and URL key.", least=1)
    login_per_minute = Setting(
        20, "Maximum number of token requests per minute and address.", least=1
    )
    socketio_ping_s = Setting(25.0, "Seconds between two pings to a Socket.IO client.", least=0.1)
    socketio_pong_s = Setting(
        20.0, "Seconds in which a Socket.IO client answers a ping.", least=0.1
    )
    siblings_folder = Setting(
        "",
        "Private folder in which web processes of one port reach each other; `serve` sets it.",
    )
    trusted_proxies = Setting(
        "", "Proxies whose X-Forwarded-For and -Proto are trusted: addresses or networks."
    )

    @property
    def open_doors(self) -> list[str]:
        """The doors that are open, each once, in the order of DOORS; unknown ones are left out."""
        named = {one.strip() for one in self.doors.split(",")}
        return [door for door in DOORS if door in named]

    @property
    def drain_time_s(self) -> float:
        """`drain_s`, an hour at most."""
        return min(self.drain_s, 3600.0)

    @property
    def has_metrics(self) -> bool:
        """Whether processes export metrics."""
        return self.metrics.strip().lower() != "off"

    @property
    def max_ahead_ms(self) -> int:
        """How far ahead of the clock a tick may be; read it once per batch, not per tick."""
        return round(self.max_ahead_s * 1000)


conf = QuotesSettings()
