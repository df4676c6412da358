"""Candles of a recording, computed by DuckDB from the file alone; nothing of the project is used.

    python tests/history/reference.py DAY.csv.gz 5m        prints them

The rules, as docs/history.md has them: rows dated 1970 have the time of the row before; ticks from
09:15 until before 15:31 IST on weekdays count, those from 15:30 on as of the last minute; within a
candle ticks are ordered by time, volume and row; volume is how far the day's volume rose above the
highest reading before.
"""

import sys
from decimal import Decimal
from pathlib import Path

import duckdb

STEPS = {"1m": 1, "3m": 3, "5m": 5, "10m": 10, "15m": 15, "30m": 30, "60m": 60}

SQL = """
WITH rows AS (
  SELECT row_number() OVER () AS number, symbol, CAST(ltp AS DECIMAL(18, 4)) AS price,
         CAST(volume AS BIGINT) AS volume,
         CASE WHEN timestamp < TIMESTAMP '1971-01-01' THEN NULL ELSE timestamp END AS own_time
  FROM read_csv(?, header = true, columns = {'timestamp': 'TIMESTAMP', 'symbol': 'VARCHAR',
                                             'ltp': 'VARCHAR', 'volume': 'VARCHAR'})
), ticks AS (
  SELECT *, last_value(own_time IGNORE NULLS) OVER (ORDER BY number) AS moment FROM rows
), inside AS (
  SELECT *, CAST(moment AS DATE) AS day,
         date_diff('second', CAST(moment AS DATE) + INTERVAL '9 hours 15 minutes', moment) AS since
  FROM ticks
), counted AS (
  SELECT *, least(since, 374 * 60 + 59) // (60 * ?) AS bucket,
         greatest(volume - coalesce(max(volume) OVER before, 0), 0) AS traded
  FROM inside
  WHERE since >= 0 AND since < 376 * 60 AND isodow(day) < 6
  WINDOW before AS (PARTITION BY symbol, day ORDER BY moment, volume, number
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)
SELECT symbol, CAST(epoch(day) AS BIGINT) AS day, bucket,
       first(price ORDER BY moment, volume, number), max(price), min(price),
       last(price ORDER BY moment, volume, number), sum(traded), count(*)
FROM counted GROUP BY symbol, day, bucket ORDER BY symbol, day, bucket
"""

# Symbol and start in Unix milliseconds -> open, high, low, close, volume, ticks.
Candles = dict[tuple[str, int], tuple[Decimal, Decimal, Decimal, Decimal, int, int]]


def candles(path: Path, interval: str) -> Candles:
    """Return the candles of all symbols; of `1d` those of days."""
    minutes = STEPS.get(interval, 1440)
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        rows = connection.execute(SQL, [str(path), minutes]).fetchall()
    found: Candles = {}
    for symbol, day, bucket, *values in rows:
        midnight = (day - 19_800) * 1000  # India is 5:30 h ahead
        opening = midnight + (9 * 60 + 15) * 60_000
        start = midnight if interval == "1d" else opening + bucket * minutes * 60_000
        *prices, volume, ticks = values
        found[symbol, start] = (*prices, int(volume), ticks)
    return found


if __name__ == "__main__":
    for (name, moment), numbers in candles(Path(sys.argv[1]), sys.argv[2]).items():
        print(name, moment, *numbers)
