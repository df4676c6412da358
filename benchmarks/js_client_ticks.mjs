// What a tick costs in the JavaScript client, against JSON.parse and a look-up in a Map:
//
//     node benchmarks/js_client_ticks.mjs
//
// Frames of 500 symbols, one price each or 50 in an array, go through a client whose socket is not
// one; the two take turns, and the best round of each counts.

import { PriceClient } from "../clients/js/src/live-price.js";

const SYMBOLS = 500;
const ROUNDS = 15;
const TICKS = 50_000;
const names = Array.from({ length: SYMBOLS }, (_, at) => `SYMBOL${at}`);

let socket;
class Socket {
  readyState = 1;
  constructor() {
    socket = this;
    queueMicrotask(() => this.onopen());
  }
  send(text) {
    const { action, id, symbols = [] } = JSON.parse(text);
    const keys = Object.fromEntries(symbols.map((name) => [name, `NSE_EQ:${name}`]));
    const answers = {
      configure: { type: "configured", id },
      ping: { type: "pong", id, timestamp: Date.now(), feed: "live" },
      subscribe: { type: "subscribed", id, symbols, keys, rejected: [], feed: "live" },
    };
    queueMicrotask(() => this.onmessage({ data: JSON.stringify(answers[action]) }));
  }
  close() {}
}

const price = (at) =>
  `{"symbol":"SYMBOL${at % SYMBOLS}","price":${1000 + (at % 97)}.${10 + (at % 89)},"timestamp":${1712331900000 + at},` +
  `"segment":"NSE_EQ","volume":${at},"open":1000.05,"high":1100.10,"low":990.90,"prev_close":995.55,` +
  `"bid":1000.05,"ask":1000.10,"epoch":1712331900000,"seq":${Math.floor(at / SYMBOLS) + 1}}`;

async function measure(label, exact, perFrame) {
  const client = new PriceClient("ws://host/live-price", { WebSocket: Socket, exact });
  let sum = 0;
  client.subscribe(names).on("price", (tick) => {
    sum += tick.timestamp;
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const map = new Map(names.map((name) => [name, { sum: 0 }]));
  let best = Infinity;
  let bare = Infinity;
  let at = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const frames = [];
    for (let frame = 0; frame < TICKS / perFrame; frame += 1) {
      const prices = Array.from({ length: perFrame }, () => price(at++));
      frames.push({ data: perFrame === 1 ? prices[0] : `[${prices.join(",")}]` });
    }
    let began = performance.now();
    for (const { data } of frames) {
      const found = JSON.parse(data);
      if (Array.isArray(found)) for (const one of found) map.get(one.symbol).sum += one.timestamp;
      else map.get(found.symbol).sum += found.timestamp;
    }
    bare = Math.min(bare, performance.now() - began);
    began = performance.now();
    for (const frame of frames) socket.onmessage(frame);
    best = Math.min(best, performance.now() - began);
  }
  client.close();
  if (sum === 0) throw new Error("no price came");
  const us = (ms) => ((ms * 1000) / TICKS).toFixed(2);
  console.log(`${label}: ${us(best)} us a tick; JSON.parse and Map.get: ${us(bare)} us`);
}

console.log(`Node ${process.version}`);
await measure("one price a frame", false, 1);
await measure("50 prices a frame", false, 50);
await measure("50 prices a frame, exact", true, 50);
