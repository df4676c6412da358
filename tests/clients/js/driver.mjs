// Does with clients what the lines of its input say, and prints what they report, an event a line.
//
// A line is {do: "client" | "subscribe" | ..., ...}; an output line is [source, event, value].

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

// Packages are looked up in the working directory, which is not that of this file.
const WebSocket = createRequire(`${process.cwd()}/`)("ws");

const [path] = process.argv.slice(2);
const { PriceClient, RestClient } = await import(pathToFileURL(path).href);

const CLIENT_EVENTS = ["state", "feed", "conflated", "reconnect", "error", "authenticated", "entitlements", "market_status"];
const EVENTS = ["price", "candle", "history", "subscribed", "rejected", "recovered", "chain"];
let client, rest, released;
const held = {};

function show(source, event, value) {
  const text = JSON.stringify([source, event, value ?? null], (_, one) =>
    one instanceof Error
      ? { kind: one.constructor.name, code: one.code, message: one.message, symbol: one.symbol }
      : one,
  );
  process.stdout.write(`${text}\n`);
}

function hold(name, subscription, quiet = false) {
  held[name] = subscription;
  for (const event of quiet ? [] : EVENTS) subscription.on(event, (value) => show(name, event, value));
}

const actions = {
  client({ url, options = {}, tokens, ticket }) {
    if (tokens) {
      options.token = async () => {
        show("client", "token", tokens.length);
        const token = tokens.length > 1 ? tokens.shift() : tokens[0];
        if (token === "fail") throw new Error("no token today");
        return token;
      };
    }
    if (ticket) options.ticket = () => rest.ticket();
    client = new PriceClient(url, { WebSocket, ...options });
    for (const event of CLIENT_EVENTS) client.on(event, (value) => show("client", event, value));
  },
  rest({ url, options }) {
    rest = new RestClient(url, options);
  },
  subscribe({ as, names, options, quiet }) {
    hold(as, client.subscribe(names, options), quiet);
  },
  chain({ as, underlying, options }) {
    hold(as, client.subscribeOptionChain(underlying, options));
  },
  add({ as, names }) {
    held[as].add(names);
  },
  remove({ as, names }) {
    held[as].remove(names);
  },
  close({ as }) {
    (as ? held[as] : client).close();
  },
  connect() {
    client.connect();
  },
  names({ as }) {
    show(as, "names", held[as].names);
  },
  properties() {
    const { state, feed, clockOffsetMs, latencyMs, lastFrameAt } = client;
    show("client", "properties", { state, feed, clockOffsetMs, latencyMs, lastFrameAt });
  },
  async call({ method, values = [], on = "client" }) {
    show(on, method, await (on === "rest" ? rest : client)[method](...values).catch((error) => ({ error })));
  },
  // Reads so many values, of which the first is not read before `release`, if it is held.
  async iterate({ as, count, label = "read", isHeld }) {
    let left = count;
    const iterator = held[as][Symbol.asyncIterator]();
    if (isHeld) await new Promise((resolve) => (released = resolve));
    try {
      while (left > 0) {
        const { value, done } = await iterator.next();
        if (done) break;
        show(as, label, value);
        left -= 1;
      }
      if (left === 0) await iterator.return();
      show(as, "left", left);
    } catch (error) {
      show(as, "thrown", error);
    }
  },
  release() {
    released();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: action, ...rest } = JSON.parse(line);
  try {
    actions[action](rest)?.catch?.((error) => show("driver", action, error));
  } catch (error) {
    show("driver", action, error);
  }
}
process.exit(0);
