"""Settings of Kafka: each a typed property with its default, read lazily."""

from instruments.conf import Setting, SettingsGroup


class KafkaSettings(SettingsGroup):
    prefix = "KAFKA"
    # Kafka's own scripts and images set KAFKA_HOME, KAFKA_OPTS and the like.
    alone = False

    bootstrap_servers = Setting("", "The brokers, as host:port,host:port; empty: no Kafka.")
    client_id = Setting("live-prices", "The name under which brokers know these programs.")
    security_protocol = Setting(
        "PLAINTEXT",
        "How brokers are spoken to.",
        choices=("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    )
    sasl_mechanism = Setting(
        "",
        "How to log in, with the SASL protocols.",
        choices=("", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
    )
    sasl_username = Setting("", "The user, with the SASL protocols.")
    sasl_password = Setting("", "The password, with the SASL protocols.")
    ssl_ca_location = Setting("", "A file of the authorities that sign the brokers' certificates.")
    ssl_certificate_location = Setting("", "A file with this client's certificate.")
    ssl_key_location = Setting("", "A file with the key of this client's certificate.")
    ssl_key_password = Setting("", "The password of that key.")

    topics = Setting("", "Topics to consume, comma-separated; one that begins with ^ is a pattern.")
    group_id = Setting("live-prices", "The consumer group; its members share the partitions.")
    group_protocol = Setting(
        "classic",
        "`classic`, or `consumer` (KIP-848) where the brokers have it.",
        choices=("classic", "consumer"),
    )
    session_timeout_ms = Setting(
        10_000, "After how long a consumer that died loses its partitions.", least=500
    )
    start = Setting(
        "earliest",
        "Where a group begins in a topic that is new to it.",
        choices=("earliest", "latest"),
    )
    live_window_s = Setting(
        60.0, "Messages that are older than this when they are read are history.", least=1.0
    )
    dead_letter_topic = Setting("", "Where messages go that are no ticks; empty: they are dropped.")
    value_format = Setting(
        "json", "What the messages' values are.", choices=("json", "avro", "protobuf")
    )
    fields = Setting("", "Where a tick's fields are in foreign messages: field=place, ...")
    timestamp_unit = Setting(
        "ms", "The unit of foreign timestamps.", choices=("s", "ms", "us", "ns")
    )
    schema_registry_url = Setting("", "The schema registry, for Avro and Protobuf.")
    schema_registry_auth = Setting("", "user:password of the schema registry.")
    protobuf_message = Setting("", "The generated class of the messages, as package.module:Class.")

    produce_topic = Setting("", "Where `produce_kafka` writes the numbered ticks.")

    @property
    def topic_list(self) -> list[str]:
        return [name.strip() for name in self.topics.split(",") if name.strip()]


conf = KafkaSettings()
