"""Kafka in and out: topics as a source of prices, and the tick log as a topic.

`conf`, `fields`, `stored_offsets`, `sorting`, `message_reader`, `status` and `availability` do not
need the package confluent-kafka (requirements-kafka.txt); all other modules do, and the commands
check for it with `availability.require_kafka`.
"""
