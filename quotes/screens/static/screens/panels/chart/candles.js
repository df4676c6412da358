// The candles of one instrument and interval, each once, in order of time.

// Candles of REST and of the socket, as numbers. A value that is no number makes none.
function candleOf({ start, open, high, low, close, volume, oi, ticks }) {
  const numbers = [open, high, low, close].map(Number);
  if (!Number.isFinite(start) || !numbers.every(Number.isFinite)) return null;
  const [o, h, l, c] = numbers;
  const count = (value) => (value === null || value === undefined ? null : Number(value));
  return { start, open: o, high: h, low: l, close: c, volume: count(volume), oi: count(oi), ticks: ticks ?? null };
}

export class Candles {
  constructor() {
    this.rows = [];
    this.positions = new Map(); // start -> position in rows
  }

  get length() {
    return this.rows.length;
  }

  get first() {
    return this.rows[0];
  }

  get last() {
    return this.rows.at(-1);
  }

  get hasVolume() {
    return this.rows.some((row) => row.volume !== null);
  }

  // The position of the candle that starts then; -1 without one.
  at(start) {
    return this.positions.get(start) ?? -1;
  }

  // Takes past candles. One that the socket sent meanwhile stays, unless the past one counts more
  // ticks. Returns whether anything changed.
  addPast(values) {
    let changed = false;
    for (const value of values) {
      const row = candleOf(value);
      if (row === null) continue;
      const position = this.at(row.start);
      if (position < 0) this.rows.push(row);
      else if (isOlder(this.rows[position], row)) this.rows[position] = row;
      else continue;
      changed = true;
      if (position < 0) this.positions.set(row.start, this.rows.length - 1);
    }
    if (changed) this.sort();
    return changed;
  }

  // Takes a candle of the socket: "last" if only the last one changed or was added, "past" if another
  // did, "" if it is no candle.
  addLive(value) {
    const row = candleOf(value);
    if (row === null) return "";
    const position = this.at(row.start);
    if (position >= 0) {
      this.rows[position] = row;
      return position === this.rows.length - 1 ? "last" : "past";
    }
    const isNewest = this.rows.length === 0 || row.start > this.last.start;
    this.rows.push(row);
    this.positions.set(row.start, this.rows.length - 1);
    if (isNewest) return "last";
    this.sort();
    return "past";
  }

  sort() {
    this.rows.sort((a, b) => a.start - b.start);
    this.positions = new Map(this.rows.map((row, position) => [row.start, position]));
  }
}

// Whether a candle that is here has fewer ticks than one of the database: then it is an older state.
function isOlder(here, stored) {
  return here.ticks === null || stored.ticks === null || stored.ticks > here.ticks;
}
