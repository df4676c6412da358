// Prints prices as they change:  node watch.mjs RELIANCE "NIFTY 50"
//
// URL and token come from PRICES_URL and PRICES_TOKEN.

import process from "node:process";
import { PriceClient } from "live-price-client";

const symbols = process.argv.slice(2);
if (symbols.length === 0) {
  console.error('usage: node watch.mjs SYMBOL..., as in: node watch.mjs RELIANCE "NIFTY 50"');
  process.exit(2);
}

const client = new PriceClient(process.env.PRICES_URL ?? "ws://localhost:5000/live-price", {
  token: process.env.PRICES_TOKEN,
  exact: true,
  // Node has a WebSocket of its own from version 22 on.
  WebSocket: globalThis.WebSocket ?? (await import("ws")).WebSocket,
});

client.on("state", ({ state, error }) => console.error(state, error?.message ?? ""));

const prices = client.subscribe(symbols);
prices.on("price", (tick) => console.log(tick.name, tick.price, tick.change_pct ?? ""));
prices.on("rejected", (error) => console.error(`${error.symbol}: ${error.message}`));
prices.on("subscribed", ({ name, known, suggestions }) => {
  if (!known) console.error(`nobody has ${name}; did you mean ${suggestions.join(", ") || "another"}?`);
});
prices.on("recovered", ({ symbol, recovered, ticks, reason }) => {
  console.error(recovered ? `${symbol}: ${ticks} missed prices follow` : `${symbol}: ${reason}`);
});

process.on("SIGINT", () => client.close());
