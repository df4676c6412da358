// The client program of the JavaScript library: see `benchmarks/client_losses/__init__.py`.

import { PriceClient } from "../../clients/js/src/live-price.js";

const options = JSON.parse(process.argv[2]);
const write = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const client = new PriceClient(options.url, {
  exact: true,
  silenceMs: options.silence_s * 1000,
  maxBackoffMs: options.max_backoff_s * 1000,
});
client.on("state", ({ state }) => write({ state }));
client.on("error", (error) => write({ error: error.message }));
const subscription = client.subscribe(options.symbols, { conflate: false });
subscription.on("rejected", (error) => write({ error: error.message }));
subscription.on("recovered", ({ symbol, recovered, ticks, reason = "" }) =>
  write({ recovered: { symbol, recovered, ticks, reason } }),
);
subscription.on("price", ({ symbol, n, price, timestamp, epoch, seq }) =>
  write({ tick: { symbol, n: Number(n), price, timestamp, epoch, seq } }),
);
process.stdin.resume();
process.stdin.on("end", () => client.close());
