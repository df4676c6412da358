"""Kafka in and out: topics as a source of prices, and the tick log as a topic.

Only `conf`, `fields`, `positions`, `status` and `library` can be imported without the package
confluent-kafka (requirements-kafka.txt); the commands look for it by `library.need_library`.
"""
