// Frames as values: JSON.parse, or with `exact` every price and quantity as its published digits.

// Numbers that are no prices or quantities, and stay numbers.
const PLAIN = [
  "timestamp", "last_trade_time", "epoch", "seq", "start", "ends", "ticks", "orders", "id", "code",
  "subscriptions", "expires", "next_change", "skipped", "decimals", "instrument_token",
  "exchange_token", "lot_size", "price_divisor", "precedence",
];
const IS_PLAIN = new Set(PLAIN);

const NUMBER = String.raw`-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?`;
// A key and its number; no quote is within a string, since there is no backslash.
const MEMBER = new RegExp(
  String.raw`"(?!(?:${PLAIN.join("|")})")([^"]*)"\s*:\s*(${NUMBER})`, "g",
);
// A backslash, or a number that is no member of an object (or text that looks like one).
const NEEDS_CARE = /\\|(?:^|[[,])\s*-?\d/;
// A string with the colon behind it if it is a key, or a number.
const TOKEN = new RegExp(String.raw`"(?:[^"\\]|\\.)*"(\s*:)?|${NUMBER}`, "g");

/**
 * Parses JSON whose numbers become text with the same digits, but for counts, codes and times.
 *
 * JSON.parse turns 2950.50 into 2950.5 and rounds what a double cannot hold. A reviver that sees the
 * source text is not in every engine, and is slower than to quote the numbers beforehand.
 * @param {string} text
 * @returns {any}
 */
export function parseExact(text) {
  if (NEEDS_CARE.test(text)) return parseWithCare(text);
  return JSON.parse(text.replace(MEMBER, '"$1":"$2"'));
}

/** @param {string} text */
function parseWithCare(text) {
  let isPlain = false;
  return JSON.parse(
    text.replace(TOKEN, (token, colon) => {
      if (token.charCodeAt(0) !== 34) return isPlain ? token : `"${token}"`;
      if (colon !== undefined) isPlain = IS_PLAIN.has(token.slice(1, token.lastIndexOf('"')));
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
