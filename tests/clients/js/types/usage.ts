// How users write it; each line below "@ts-expect-error" must be refused.
import { AuthenticationError, PriceClient, PriceError, RestClient, SymbolError } from "live-price-client";
import type { Candle, Feed, Subscription, Tick } from "live-price-client";

const client = new PriceClient("/live-price", { token: async () => "eyJ", exact: true });
const off: () => void = client.on("state", ({ state, retryAt, error }) => {
  if (state === "waiting" && retryAt !== undefined && error instanceof AuthenticationError) off();
});
client.on("feed", (feed: Feed) => feed);
const prices: Subscription = client.subscribe(["RELIANCE"], { mode: "quote", history: { ticks: 5 } });
prices.on("price", (tick: Tick) => [tick.price, tick.name, tick.depth?.buy[0]?.quantity]);
prices.on("rejected", (error) => error instanceof SymbolError && error.symbol.length);
prices.on("candle", (candle: Candle) => candle.final);
const rest = new RestClient("http://localhost:5000", { fetch, token: null });

async function main(): Promise<number> {
  for await (const tick of prices) if (tick.volume) return Number(tick.price);
  for await (const candle of client.subscribe("A", { candles: "1m" })) if (candle.final) break;
  const { prices: latest, missing } = await rest.prices(["RELIANCE"]);
  const candles: Candle[] = await rest.candles("RELIANCE", { interval: "1m", from: new Date() });
  try {
    await client.request({ action: "list" });
  } catch (error) {
    if (error instanceof PriceError) return error.code;
  }
  return latest.length + missing.length + candles.length + (await client.marketStatus("NSE_EQ")).length;
}

void main;
// @ts-expect-error no such event
client.on("prices", () => {});
// @ts-expect-error no such mode
client.subscribe("A", { mode: "most" });
// @ts-expect-error an action is needed
void client.request({});
// @ts-expect-error names are text
client.subscribe([5]);
