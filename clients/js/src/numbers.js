// Frames as values: JSON.parse, or with `exact` every price and quantity as its published digits.
//
// JSON.parse turns 2950.50 into 2950.5 and rounds what a double cannot hold. A reviver that sees the
// source text is not in every engine, and calls a function for each value. The reader below takes
// twice the time of JSON.parse; what it does not expect goes the slow way around.

// Numbers that are no prices or quantities, and stay numbers.
const PLAIN = new Set([
  "timestamp", "last_trade_time", "epoch", "seq", "start", "ends", "ticks", "orders", "id", "code",
  "subscriptions", "expires", "next_change", "skipped", "decimals", "instrument_token",
  "exchange_token", "lot_size", "price_divisor", "precedence",
]);

const QUOTE = 34;
const PLUS = 43;
const COMMA = 44;
const COLON = 58;
const OPEN_ARRAY = 91;
const CLOSE_ARRAY = 93;
const OPEN = 123;
const CLOSE = 125;
const MAX_DEPTH = 32;

/** Thrown where the text is not as this server writes it; JSON may still be. */
const UNEXPECTED = new Error("not compact JSON without escapes");
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const LITERALS = new Map(/** @type {[string, boolean | null][]} */ ([
  ["null", null],
  ["true", true],
  ["false", false],
]));

/** Reads compact JSON without escapes, in one pass. */
class Reader {
  #at = 0;

  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }

  read() {
    const found = this.#value("", 0);
    if (this.#at !== this.text.length) throw UNEXPECTED;
    return found;
  }

  /**
   * @param {string} key of the value; "" in an array
   * @param {number} depth
   * @returns {any}
   */
  #value(key, depth) {
    const first = this.text.charCodeAt(this.#at);
    if (first === QUOTE) return this.#string();
    if (first === OPEN) return this.#object(depth + 1);
    if (first === OPEN_ARRAY) return this.#array(key, depth + 1);
    return this.#scalar(key);
  }

  #string() {
    const begin = this.#at + 1;
    const end = this.text.indexOf('"', begin);
    if (end < 0) throw UNEXPECTED;
    this.#at = end + 1;
    return this.text.slice(begin, end);
  }

  /** @param {string} key */
  #scalar(key) {
    const { text } = this;
    const begin = this.#at;
    let at = begin;
    let code = text.charCodeAt(at);
    // Digits, signs, points and letters; NaN, behind the end, ends it as well.
    while ((code > COMMA && code !== CLOSE_ARRAY && code < OPEN) || code === PLUS) {
      at += 1;
      code = text.charCodeAt(at);
    }
    this.#at = at;
    const token = text.slice(begin, at);
    if (NUMBER.test(token)) return PLAIN.has(key) ? Number(token) : token;
    const literal = LITERALS.get(token);
    if (literal === undefined) throw UNEXPECTED;
    return literal;
  }

  /** @param {number} depth */
  #object(depth) {
    const { text } = this;
    /** @type {Record<string, any>} */
    const found = {};
    this.#at += 1;
    if (text.charCodeAt(this.#at) === CLOSE) {
      this.#at += 1;
      return found;
    }
    if (depth > MAX_DEPTH) throw UNEXPECTED;
    for (;;) {
      if (text.charCodeAt(this.#at) !== QUOTE) throw UNEXPECTED;
      const key = this.#string();
      // An assignment to __proto__ sets no member.
      if (text.charCodeAt(this.#at) !== COLON || key === "__proto__") throw UNEXPECTED;
      this.#at += 1;
      found[key] = this.#value(key, depth);
      const next = text.charCodeAt(this.#at);
      this.#at += 1;
      if (next === CLOSE) return found;
      if (next !== COMMA) throw UNEXPECTED;
    }
  }

  /**
   * @param {string} key
   * @param {number} depth
   */
  #array(key, depth) {
    /** @type {any[]} */
    const found = [];
    this.#at += 1;
    if (this.text.charCodeAt(this.#at) === CLOSE_ARRAY) {
      this.#at += 1;
      return found;
    }
    if (depth > MAX_DEPTH) throw UNEXPECTED;
    for (;;) {
      found.push(this.#value(key, depth));
      const next = this.text.charCodeAt(this.#at);
      this.#at += 1;
      if (next === CLOSE_ARRAY) return found;
      if (next !== COMMA) throw UNEXPECTED;
    }
  }
}

/**
 * Parses JSON whose numbers become text with the same digits, but for counts, codes and times.
 * @param {string} text
 * @returns {any}
 */
export function parseExact(text) {
  if (!text.includes("\\")) {
    try {
      return new Reader(text).read();
    } catch (error) {
      if (error !== UNEXPECTED) throw error;
    }
  }
  return parseWithCare(text);
}

// A string with the colon behind it if it is a key, or a number.
const TOKEN = /"(?:[^"\\]|\\.)*"(\s*:)?|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** @param {string} text */
function parseWithCare(text) {
  let isPlain = false;
  return JSON.parse(
    text.replace(TOKEN, (token, colon) => {
      if (token.charCodeAt(0) !== QUOTE) return isPlain ? token : `"${token}"`;
      if (colon !== undefined) isPlain = PLAIN.has(token.slice(1, token.lastIndexOf('"')));
      return token;
    }),
  );
}

// Frames with a `type` that hold prices; all others hold counts, codes and times alone.
const PRICED = /^\{"type":"(?:candle|candles|history|chain)"/;

/**
 * Parses a frame of /live-price.
 * @param {string} text
 * @returns {any}
 */
export function parseExactFrame(text) {
  const isControl = text.startsWith('{"type":');
  return isControl && !PRICED.test(text) ? JSON.parse(text) : parseExact(text);
}
