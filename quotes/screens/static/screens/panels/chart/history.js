// Past candles over REST, a range at a time, back to where there are none.

import { dayStart } from "./clock.js";

const DAY_MS = 86_400_000;

// Interval -> minutes of a candle, and the days of the first range and of the longest one. The server
// limits ranges by interval (QUOTES_HISTORY_MAX_DAYS).
export const INTERVALS = {
  "1m": { minutes: 1, days: 2, most: 32 },
  "3m": { minutes: 3, days: 4, most: 64 },
  "5m": { minutes: 5, days: 6, most: 64 },
  "15m": { minutes: 15, days: 16, most: 128 },
  "30m": { minutes: 30, days: 32, most: 128 },
  "60m": { minutes: 60, days: 60, most: 240 },
  "1d": { minutes: 1440, days: 500, most: 2000 },
};

export class History {
  constructor(rest, key, interval) {
    this.rest = rest;
    this.key = key;
    this.interval = interval;
    this.days = INTERVALS[interval].days;
    this.reached = null; // all candles from here on were read
    this.isWhole = false; // and there are none before
  }

  // Reads back from what was read so far; resolves with the candles of the next range that has any,
  // none at the beginning of history.
  async older(now) {
    const { days, most } = INTERVALS[this.interval];
    while (!this.isWhole) {
      const to = this.reached ?? now + DAY_MS; // the server's clock may be ahead
      const from = dayStart(to) - this.days * DAY_MS;
      const found = await this.range(from, to);
      this.reached = from;
      if (found.length > 0) {
        this.days = days;
        return found;
      }
      if (this.days >= most) this.isWhole = true;
      this.days = Math.min(this.days * 2, most);
    }
    return [];
  }

  // Reads the candles that start in a range of Unix milliseconds.
  range(from, to) {
    return this.rest.candles(this.key, { interval: this.interval, from, to });
  }
}
