// Writes the candles of a symbol as CSV:  node history.mjs RELIANCE 5m 2026-08-03 2026-08-14 > reliance.csv
//
// URL and token come from PRICES_URL and PRICES_TOKEN.

import process from "node:process";
import { PriceError, RestClient } from "live-price-client";

const [symbol, interval = "1m", from, to] = process.argv.slice(2);
if (symbol === undefined) {
  console.error("usage: node history.mjs SYMBOL [INTERVAL [FROM [TO]]]");
  process.exit(2);
}

const rest = new RestClient(process.env.PRICES_URL ?? "http://localhost:5000", {
  token: process.env.PRICES_TOKEN,
  exact: true,
});

try {
  const candles = await rest.candles(symbol, { interval, from, to });
  console.log("start,open,high,low,close,volume");
  for (const { start, open, high, low, close, volume } of candles) {
    console.log([new Date(start).toISOString(), open, high, low, close, volume ?? ""].join(","));
  }
} catch (error) {
  if (!(error instanceof PriceError)) throw error;
  console.error(error.message);
  process.exit(1);
}
