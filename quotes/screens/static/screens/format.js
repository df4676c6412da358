// Numbers and times as people in India read them: 12,34,567.80 and IST. Digits are never lost:
// a number may be text with the digits that were published.

const IST = "Asia/Kolkata";
const DAY_MS = 86_400_000;
const IST_MS = 19_800_000;
const PLAIN = /^-?\d+(?:\.\d+)?$/;
export const MINUS = "−";

const TIME = new Intl.DateTimeFormat("en-GB", {
  timeZone: IST,
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

// t: of text.js; language(): the code of the language that shows.
export function formatter(t, language) {
  const dates = new Map();

  function dayAndMonth(ms) {
    const code = language() === "hi" ? "hi-IN-u-nu-latn" : "en-GB";
    let date = dates.get(code);
    if (date === undefined) {
      date = new Intl.DateTimeFormat(code, {
        timeZone: IST,
        day: "numeric",
        month: "short",
        year: "numeric",
      });
      dates.set(code, date);
    }
    return date.format(ms);
  }

  const format = {
    // At least `decimals` digits behind the point; all that came, if they are more.
    price(value, decimals = 2) {
      return isMissing(value) ? "" : grouped(digitsOf(value, decimals), decimals);
    },

    // A change, with its sign: +1.20, −0.35, 0.00.
    change(value, decimals = 2) {
      if (isMissing(value)) return "";
      const text = grouped(digitsOf(value, decimals), decimals);
      return text.startsWith(MINUS) || !/[1-9]/.test(text) ? text : `+${text}`;
    },

    quantity(value) {
      return isMissing(value) ? "" : grouped(digitsOf(value, 0), 0);
    },

    percent(value) {
      const number = Number(value);
      if (isMissing(value) || !Number.isFinite(number)) return "";
      const text = number.toFixed(2).replace("-", MINUS);
      if (!/[1-9]/.test(text)) return "0.00%";
      return `${number > 0 ? "+" : ""}${text}%`;
    },

    // 15:29:58, IST.
    time(ms) {
      return isMoment(ms) ? TIME.format(ms) : String(ms ?? "");
    },

    // 5 Apr 2024, 15:29:58; today the time alone.
    dateTime(ms) {
      if (!isMoment(ms)) return String(ms ?? "");
      const isToday = dayOf(ms) === dayOf(Date.now());
      return isToday ? TIME.format(ms) : `${dayAndMonth(ms)}, ${TIME.format(ms)}`;
    },

    date(ms) {
      return isMoment(ms) ? dayAndMonth(ms) : String(ms ?? "");
    },

    // How long ago, from milliseconds: now, 12 s, 3 min, 4 h, 2 d.
    age(ms) {
      const seconds = Math.floor(ms / 1000);
      if (seconds < 1) return t("age.now");
      if (seconds < 60) return t("age.seconds", { n: seconds });
      if (seconds < 3600) return t("age.minutes", { n: Math.floor(seconds / 60) });
      if (seconds < 86_400) return t("age.hours", { n: Math.floor(seconds / 3600) });
      return t("age.days", { n: Math.floor(seconds / 86_400) });
    },
  };
  return format;
}

// Returns a plain decimal with Indian grouping: 1234567.5 is 12,34,567.50 with two decimals.
export function grouped(text, decimals) {
  if (!PLAIN.test(text)) return text.replace("-", MINUS);
  const negative = text.startsWith("-");
  const [whole, fraction = ""] = (negative ? text.slice(1) : text).split(".");
  let left = whole;
  if (whole.length > 3) {
    const head = whole.slice(0, -3).replace(/\B(?=(\d{2})+$)/g, ",");
    left = `${head},${whole.slice(-3)}`;
  }
  const right = fraction.padEnd(decimals, "0");
  return `${negative ? MINUS : ""}${left}${right ? `.${right}` : ""}`;
}

// Returns the difference of two decimal numbers as text, exactly; of numbers with an exponent as
// near as doubles are.
export function difference(after, before) {
  const one = String(after);
  const other = String(before);
  if (!PLAIN.test(one) || !PLAIN.test(other)) return String(Number(one) - Number(other));
  const places = Math.max(placesOf(one), placesOf(other));
  const units = scaled(one, places) - scaled(other, places);
  const digits = String(units < 0n ? -units : units).padStart(places + 1, "0");
  const whole = digits.slice(0, digits.length - places);
  const text = places ? `${whole}.${digits.slice(-places)}` : whole;
  return units < 0n ? `-${text}` : text;
}

export function placesOf(text) {
  const point = text.indexOf(".");
  return point < 0 ? 0 : text.length - point - 1;
}

function scaled(text, places) {
  const [whole, fraction = ""] = text.split(".");
  return BigInt(whole + fraction.padEnd(places, "0"));
}

// A double has noise behind its digits, such as 0.30000000000000004; text is as it was published.
function digitsOf(value, decimals) {
  if (typeof value === "string") return value;
  const text = String(value);
  return placesOf(text) > Math.max(decimals, 8) ? value.toFixed(decimals) : text;
}

function isMissing(value) {
  return value === null || value === undefined || value === "";
}

function isMoment(ms) {
  return typeof ms === "number" && Math.abs(ms) < 8.64e15;
}

function dayOf(ms) {
  return Math.floor((ms + IST_MS) / DAY_MS);
}
