"""All checks of `manage.py doctor`, in the order in which they are shown."""

from quotes.doctor.certificates import check_certificates
from quotes.doctor.clocks import check_clocks
from quotes.doctor.databases import check_databases
from quotes.doctor.deployed_settings import check_settings
from quotes.doctor.instrument_master import check_instruments
from quotes.doctor.kafka_topics import check_kafka
from quotes.doctor.machine import check_disk, check_open_files
from quotes.doctor.market_calendar import check_calendar
from quotes.doctor.migrations import check_migrations_of_all
from quotes.doctor.packages import check_packages
from quotes.doctor.ports import check_ports
from quotes.doctor.processes import check_processes
from quotes.doctor.public_side import check_public_side
from quotes.doctor.redis_server import check_redis
from quotes.doctor.running import Check

CHECKS = (
    Check("settings", "DEBUG, the key, hosts, origins, authentication", check_settings),
    Check("packages", "installed versions against requirements.txt", check_packages),
    Check("migrations", "of both databases", check_migrations_of_all),
    Check("databases", "reachable, writable, size, connections", check_databases),
    Check("redis", "kind, version, memory, file, speed, buffers", check_redis),
    Check("clocks", "this machine's, Redis's, the databases', other processes'", check_clocks),
    Check("processes", "bridges, recorder, web servers and how far each is", check_processes),
    Check("ports", "the web server of this machine", check_ports),
    Check("kafka", "brokers, topics, lag, if Kafka is used", check_kafka),
    Check("calendar", "holidays, provisional hours, today's session", check_calendar),
    Check("instruments", "age of the master, expired contracts", check_instruments),
    Check("disk", "room for data", check_disk),
    Check("files", "how many files web processes may open", check_open_files),
    Check(
        "certificates", "when those of Redis, PostgreSQL, Kafka and issuers end", check_certificates
    ),
    Check("url", "the public side, with --url", check_public_side),
)
NAMES = tuple(check.name for check in CHECKS)
