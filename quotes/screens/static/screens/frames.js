// Reading frames and numbers without losing a digit. Pure: no page and no connection here.

const TOKEN = /\s*("(?:[^"\\]+|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+)/y;

// Returns what a text frame holds: a price frame has no `type`, and gets `priceText`, the digits
// as they were sent. JSON.parse turns 189.450 into 189.45 and rounds what a double cannot hold.
// Throws SyntaxError when it is no JSON object.
export function readFrame(text) {
  const frame = JSON.parse(text);
  if (typeof frame !== "object" || frame === null || Array.isArray(frame)) {
    throw new SyntaxError("a frame is a JSON object");
  }
  if (frame.type === undefined) {
    frame.priceText = memberText(text, "price");
  }
  return frame;
}

// Returns the text of a member of the outermost object, or undefined; of several with one name the
// last, as JSON.parse does. The text must be valid JSON.
export function memberText(text, name) {
  let depth = 0;
  let key;
  let found;
  let before = "";
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(text); match !== null; match = TOKEN.exec(text)) {
    const token = match[1];
    if (token === "{" || token === "[") {
      depth += 1;
      if (depth === 2 && before === ":" && key === name) found = undefined;
    } else if (token === "}" || token === "]") {
      depth -= 1;
    } else if (depth === 1 && token !== "," && token !== ":") {
      if (before === ":") {
        if (key === name) found = token;
      } else {
        key = JSON.parse(token);
      }
    }
    before = token;
  }
  return found;
}

// Returns the difference of two decimal numbers, given and returned as text, exactly; of numbers
// with an exponent, as near as doubles are.
export function difference(after, before) {
  const plain = /^-?\d+(?:\.\d+)?$/;
  if (!plain.test(after) || !plain.test(before)) return String(Number(after) - Number(before));
  const places = Math.max(placesOf(after), placesOf(before));
  const units = scaled(after, places) - scaled(before, places);
  const digits = String(units < 0n ? -units : units).padStart(places + 1, "0");
  const whole = digits.slice(0, digits.length - places);
  const text = places ? `${whole}.${digits.slice(-places)}` : whole;
  return units < 0n ? `-${text}` : text;
}

function placesOf(text) {
  const point = text.indexOf(".");
  return point < 0 ? 0 : text.length - point - 1;
}

function scaled(text, places) {
  const [whole, fraction = ""] = text.split(".");
  return BigInt(whole + fraction.padEnd(places, "0"));
}

// Returns how long ago something was, for people: "now", "12 s ago", "3 min ago", "4 d ago".
export function age(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 1) return "now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

// Splits what a person typed, or an address holds, into symbols, each once. Symbols hold spaces.
export function symbolsIn(text) {
  const names = text.split(/[,;\n]/).map((name) => name.trim()).filter((name) => name !== "");
  return [...new Set(names)];
}
