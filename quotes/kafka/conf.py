"""Settings of Kafka: each a typed property with its default, read lazily."""

from instruments.conf import Setting, SettingsGroup


class KafkaSettings(SettingsGroup):
    prefix = "KAFKA"
    # Kafka's own scripts and images set KAFKA_HOME, KAFKA_OPTS and the like.
    alone = False

    bootstrap_servers = Setting("", "Brokers, as host:port,host:port; empty: Kafka is off.")
    client_id = Setting("live-prices", "Client id that brokers see.")
    security_protocol = Setting(
        "PLAINTEXT",
        "Protocol for connections to the brokers.",
        choices=("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    )
    sasl_mechanism = Setting(
        "",
        "SASL mechanism.",
        choices=("", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
    )
    sasl_username = Setting("", "SASL user name.")
    sasl_password = Setting("", "SASL password.")
    ssl_ca_location = Setting(
        "", "File of the certificate authorities that sign the brokers' certificates."
    )
    ssl_certificate_location = Setting("", "File of this client's certificate.")
    ssl_key_location = Setting("", "File of the private key of this client's certificate.")
    ssl_key_password = Setting("", "Password of the private key.")

    topics = Setting(
        "", "Topics to consume, comma-separated; a name that begins with ^ is a regular expression."
    )
    group_id = Setting("live-prices", "Consumer group; its members share the partitions.")
    group_protocol = Setting(
        "classic",
        "`classic`, or `consumer` (KIP-848) if the brokers support it.",
        choices=("classic", "consumer"),
    )
    session_timeout_ms = Setting(
        10_000, "Milliseconds before the partitions of a dead consumer move to others.", least=500
    )
    start = Setting(
        "earliest",
        "Where a group starts in a topic that it has not read before.",
        choices=("earliest", "latest"),
    )
    live_window_s = Setting(
        60.0,
        "Messages older than this many seconds are recorded but not shown; live ones go first.",
        least=1.0,
    )
    dead_letter_topic = Setting("", "Topic for messages that are not ticks; empty: drop them.")
    value_format = Setting(
        "json", "Format of the messages' values.", choices=("json", "avro", "protobuf")
    )
    fields = Setting(
        "", "Locations of a tick's fields in messages of another format: field=location, ..."
    )
    timestamp_unit = Setting(
        "ms", "Unit of the timestamps that KAFKA_FIELDS finds.", choices=("s", "ms", "us", "ns")
    )
    schema_registry_url = Setting("", "URL of the schema registry, for Avro.")
    schema_registry_auth = Setting("", "Login for the schema registry, as user:password.")
    protobuf_message = Setting(
        "", "Generated class of the Protobuf messages, as package.module:Class."
    )

    produce_topic = Setting("", "Topic to which `produce_kafka` writes the numbered ticks.")

    @property
    def topic_list(self) -> list[str]:
        return [name.strip() for name in self.topics.split(",") if name.strip()]


conf = KafkaSettings()
