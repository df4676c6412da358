// The columns of the watch list: what each shows of a quote, and what it sorts by.

// text(quote): what the cell reads; tone(quote): up, down or empty, its colour; value(quote): the
// number, or text, to sort by; flashes: whether a new value flashes.
export function columnsOf({ format, now }) {
  const price = (name) => (quote) => format.price(quote[name], quote.decimals);
  const number = (name) => (quote) => (quote[name] === "" ? null : Number(quote[name]));
  const tone = (quote) => toneOf(quote.change);
  return [
    { id: "symbol", isText: true, text: (quote) => quote.symbol, value: (quote) => quote.symbol },
    { id: "price", isFixed: true, text: price("price"), value: number("price"), flashes: true },
    {
      id: "change",
      text: (quote) => format.change(quote.change, quote.decimals),
      value: number("change"),
      tone,
    },
    { id: "percent", text: (quote) => format.percent(quote.percent), value: number("percent"), tone },
    { id: "bid", text: price("bid"), value: number("bid"), flashes: true },
    { id: "ask", text: price("ask"), value: number("ask"), flashes: true },
    { id: "volume", text: (quote) => format.quantity(quote.volume), value: number("volume") },
    { id: "open", text: price("open"), value: number("open") },
    { id: "previous", text: price("previous"), value: number("previous") },
    { id: "range", value: (quote) => quote.position },
    {
      id: "age",
      text: (quote) => format.age(Math.max(0, now() - quote.timestamp)),
      value: number("timestamp"),
    },
    { id: "remove", isFixed: true },
  ];
}

export function toneOf(change) {
  const text = String(change);
  if (!/[1-9]/.test(text)) return "";
  return text.startsWith("-") ? "down" : "up";
}

// Returns the quotes in the order of a column; equal ones, and those without a value at the end,
// in the order that they come in.
export function sorted(quotes, column, isDescending) {
  const keyed = quotes.map((quote, at) => ({ quote, at, value: valueOf(quote, column) }));
  const sign = isDescending ? -1 : 1;
  keyed.sort((one, other) => {
    if (one.value === null || other.value === null) {
      return (one.value === null) - (other.value === null) || one.at - other.at;
    }
    if (one.value === other.value) return one.at - other.at;
    return (one.value < other.value ? -1 : 1) * sign;
  });
  return keyed.map(({ quote }) => quote);
}

function valueOf(quote, column) {
  if (!column.isText && quote.price === "") return null;
  return column.value(quote);
}
