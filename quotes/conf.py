"""Settings of the quotes app: each a typed property with its default, read lazily."""

from instruments.conf import Setting, SettingsGroup


class QuotesSettings(SettingsGroup):
    prefix = "QUOTES"

    channel_prefix = Setting("stock:", "What precedes the symbol in publishers' keys and channels.")
    key_prefix = Setting("quotes:", "What precedes the server's own keys and channels in Redis.")
    strict_symbols = Setting(
        False, "Refuse (404) a symbol that the instrument master does not know."
    )
    bridge_lease_ms = Setting(
        2000, "How long a bridge that died keeps the standby waiting, in milliseconds.", least=300
    )
    report_interval_s = Setting(
        10.0, "How often the bridge prints its line of counters.", least=0.1
    )
    log_max_ticks = Setting(
        2_000_000,
        "Most ticks that a shard's tick log in Redis holds, about 200 bytes each.",
        least=1,
    )
    log_max_age_s = Setting(
        86_400.0, "After how many seconds ticks leave the tick log in Redis.", least=1.0
    )
    inbox_max_ticks = Setting(
        1_000_000,
        "Most ticks that wait in Redis for a bridge to come back; more are refused.",
        least=1,
    )
    record_every_ms = Setting(
        200, "How long ticks gather before the recorder stores them, in milliseconds.", least=0
    )
    recorder_lease_ms = Setting(
        5000, "How long a recorder that died keeps the standby waiting, in milliseconds.", least=500
    )
    candles_all_hours = Setting(
        False, "Whether ticks out of a segment's hours, and on holidays, are in candles too."
    )
    candle_grace_ms = Setting(
        3000, "How long after its end a candle waits for late ticks, in milliseconds.", least=0
    )
    keep_history = Setting(
        "", "For how many days ticks and candles are kept, as `ticks=90, NFO:1m=400`."
    )
    history_page_rows = Setting(
        5000, "Rows of history on a page over REST, unless fewer are asked for.", least=1
    )
    history_max_rows = Setting(
        1_000_000, "Most rows of history in one streamed answer over REST.", least=1
    )
    history_max_instruments = Setting(100, "Most instruments in one request for candles.", least=1)
    history_max_days = Setting(
        "ticks=7,1m=60,3m=100,5m=100,10m=100,15m=200,30m=200,60m=400,1d=4000,1w=20000,1M=20000",
        "Longest range of a request for history, in days, of ticks and of each interval.",
    )
    resume_ticks = Setting(
        50_000, "Newest ticks of the log that a web process keeps while clients resume.", least=1
    )
    resume_max_ticks = Setting(
        10_000, "Most missed ticks of one symbol that a client who resumes is sent.", least=1
    )
    history_max_ticks = Setting(
        1000, "Most past ticks, or candles, of one symbol that a subscription may ask for.", least=1
    )
    embedded_folder = Setting(
        "var/valkey",
        "Where the Redis that `serve` starts keeps its files; relative to the project's folder.",
    )
    embedded_persistent = Setting(
        True, "Whether prices survive a restart of the Redis that `serve` starts."
    )
    heartbeat_s = Setting(
        15.0, "After how many seconds of silence a client is sent a heartbeat.", least=0.1
    )
    quiet_after_s = Setting(
        15.0, "After how many seconds without a tick of any symbol the feed is quiet.", least=0.1
    )
    feed_timeout_s = Setting(
        2.0, "After how many seconds without a sign of the bridge the feed is down.", least=0.1
    )
    max_symbols = Setting(3000, "Most symbols one connection may subscribe to.", least=1)
    max_message_bytes = Setting(65536, "Longest message a client may send, in bytes.", least=256)
    max_messages_per_s = Setting(
        50.0,
        "Messages a client may send per second, on average; bursts of four times that pass.",
        least=0.1,
    )
    high_water_bytes = Setting(
        65536, "Unsent bytes above which a slow client's prices are conflated.", least=1024
    )
    send_buffer_bytes = Setting(
        131072, "What the kernel may hold for one client (SO_SNDBUF), in bytes.", least=4096
    )
    write_timeout_s = Setting(
        10.0, "A client that takes no byte for so long is cut off (close code 4408).", least=0.1
    )
    allowed_origins = Setting(
        "", "Origins of web pages, comma-separated, that may connect besides the server's own."
    )

    auth = Setting(
        "optional",
        "Whether a caller must say who it is to see prices.",
        choices=("optional", "required"),
    )
    anonymous_segments = Setting(
        "*", "Segments that anybody may see where QUOTES_AUTH is optional; @15 after one: late."
    )
    query_token = Setting(False, "Whether a token may be in the URL of a WebSocket (?token=).")
    jwt_algorithm = Setting(
        "HS256", "How this server signs its tokens.", choices=("HS256", "RS256", "ES256")
    )
    jwt_key = Setting("", "The secret of HS256, 32 bytes or more; made of SECRET_KEY if empty.")
    jwt_old_keys = Setting("", "Secrets of before, comma-separated, whose tokens are still taken.")
    jwt_private_key_file = Setting("", "The PEM file that RS256 or ES256 signs with.")
    jwt_public_key_files = Setting(
        "", "PEM files, comma-separated, besides the private key's own, whose tokens are taken."
    )
    jwt_issuer = Setting("live-prices", "The `iss` of this server's tokens.")
    jwt_audience = Setting("live-prices", "The `aud` of this server's tokens.")
    access_token_s = Setting(900, "How long an access token is good for, in seconds.", least=1)
    refresh_token_s = Setting(86400, "How long a refresh token is good for, in seconds.", least=1)
    jwks_url = Setting("", "Where an outside issuer publishes its keys (JWKS).")
    jwks_issuer = Setting("", "The `iss` that the outside issuer's tokens must have.")
    jwks_audience = Setting("", "The `aud` that the outside issuer's tokens must have.")
    jwks_user_claim = Setting("sub", "The claim that is the name of a user here.")
    handshake_timeout_s = Setting(
        10.0, "How long who connects may take to ask for something, in seconds.", least=0.1
    )
    auth_timeout_s = Setting(
        10.0, "How long a client that must authenticate may take, in seconds.", least=0.1
    )
    token_warning_s = Setting(
        60.0, "How long before its token ends a client is warned, in seconds.", least=0
    )
    token_grace_s = Setting(
        30.0, "How long after its token's end a client may renew it, in seconds.", least=0
    )
    max_connections = Setting(
        100000, "Most WebSockets in all, of all processes that share the Redis.", least=1
    )
    max_connections_per_user = Setting(5, "Most WebSockets of one user.", least=1)
    max_connections_per_address = Setting(
        50, "Most WebSockets of one address; this machine's own is not counted.", least=1
    )
    connection_lease_ms = Setting(
        9000,
        "How long the connections of a web process that died are counted, in milliseconds.",
        least=500,
    )
    rest_per_minute = Setting(600, "Most REST requests a minute of one user or address.", least=1)
    login_per_minute = Setting(20, "Most requests for a token a minute of one address.", least=1)
    trusted_proxies = Setting(
        "", "Addresses or networks, comma-separated, whose X-Forwarded-For is believed."
    )


conf = QuotesSettings()
