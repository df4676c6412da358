// Times of the chart: the library draws UTC, so it is given Indian time as if that were UTC. Axis and
// crosshair are then in IST, whatever the browser's zone, and a day begins at midnight in India.

const IST_MS = 19_800_000;
const DAY_MS = 86_400_000;

// The library's time of Unix milliseconds, in seconds.
export function chartTime(ms) {
  return Math.floor((ms + IST_MS) / 1000);
}

// The number of the Indian day of Unix milliseconds.
export function indianDay(ms) {
  return Math.floor((ms + IST_MS) / DAY_MS);
}

// Unix milliseconds at which the Indian day of others began.
export function dayStart(ms) {
  return indianDay(ms) * DAY_MS - IST_MS;
}

// Texts of the library's times. language(): the code of the language that shows.
export class ChartClock {
  constructor(language) {
    this.language = language;
    this.formats = new Map();
  }

  format(time, name, options) {
    const code = this.language() === "hi" ? "hi-IN-u-nu-latn" : "en-GB";
    const key = `${code} ${name}`;
    let format = this.formats.get(key);
    if (format === undefined) {
      format = new Intl.DateTimeFormat(code, { timeZone: "UTC", ...options });
      this.formats.set(key, format);
    }
    return format.format(time * 1000);
  }

  clock(time) {
    return this.format(time, "clock", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  }

  day(time) {
    return this.format(time, "day", { weekday: "short", day: "numeric", month: "short", year: "numeric" });
  }

  // Of the crosshair: Fri, 5 Apr 2024, 15:25; without the clock for days.
  moment(time, isDaily) {
    return isDaily ? this.day(time) : `${this.day(time)}, ${this.clock(time)}`;
  }

  // Of a mark of the axis; kind: the library's, from the year (0) to seconds (4).
  mark(time, kind) {
    if (kind === 0) return this.format(time, "year", { year: "numeric" });
    if (kind === 1) return this.format(time, "month", { month: "short" });
    if (kind === 2) return this.format(time, "date", { day: "numeric", month: "short" });
    return this.clock(time);
  }
}
