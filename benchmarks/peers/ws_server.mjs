// The first version's job on Node's `ws`: one shared Redis subscription, one WebSocket endpoint.
//
// A client subscribes at /live-price with {"action":"subscribe","symbol"|"symbols":..}; it is sent
// the value of stock:SYMBOL and then every message of that channel, as the text that was published.
// {"action":"configure","batch":true,"interval_ms":100} makes its frames arrays with the newest
// price per symbol, at most one every interval.
//
// Environment: PORT, REDIS_PORT; SEND is how a price leaves:
//   frame  encoded once, the same buffer written to every subscriber (what Socket.IO does); fastest
//   send   the same Buffer handed to ws.send(), which makes a header per subscriber
//   cork   as `frame`, and what one turn of the event loop brings for a client leaves in one write

import { createClient } from "@redis/client";
import { Sender, WebSocketServer } from "ws";

const PREFIX = "stock:";
const TEXT = { fin: true, opcode: 1, mask: false, readOnly: true, rsv1: false };
const mode = process.env.SEND ?? "frame";

const url = `redis://127.0.0.1:${process.env.REDIS_PORT}`;
const reader = await createClient({ url }).connect();
const feed = await createClient({ url }).connect();

const subscribers = new Map(); // symbol -> clients that get every message
const batched = new Map(); // symbol -> clients that get arrays
const intervals = new Map(); // interval in ms -> clients flushed together

const join = (map, symbol, client) => {
  const clients = map.get(symbol);
  if (clients) clients.add(client);
  else map.set(symbol, new Set([client]));
};

const leave = (map, symbol, client) => {
  const clients = map.get(symbol);
  if (clients?.delete(client) && clients.size === 0) map.delete(symbol);
};

const corked = new Set();
const uncork = () => {
  for (const socket of corked) socket.uncork();
  corked.clear();
};

const write = {
  frame: (clients, message) => {
    const frame = Buffer.concat(Sender.frame(message, TEXT));
    for (const client of clients) client._sender.sendFrame([frame]);
  },
  send: (clients, message) => {
    for (const client of clients) client.send(message, { binary: false });
  },
  cork: (clients, message) => {
    const frame = Buffer.concat(Sender.frame(message, TEXT));
    if (corked.size === 0) setImmediate(uncork);
    for (const { _socket: socket } of clients) {
      if (!corked.has(socket)) {
        corked.add(socket);
        socket.cork();
      }
      socket.write(frame);
    }
  },
}[mode];

const onMessage = (message, channel) => {
  const symbol = channel.toString().slice(PREFIX.length);
  const each = subscribers.get(symbol);
  if (each) write(each, message);
  const batching = batched.get(symbol);
  if (batching) {
    const text = message.toString();
    for (const client of batching) client.pending.set(symbol, text);
  }
};

const flush = (clients) => {
  for (const client of clients) {
    if (client.pending.size === 0) continue;
    client.send(`[${Array.from(client.pending.values()).join(",")}]`);
    client.pending.clear();
  }
};

const configure = (client, { batch, interval_ms: interval }) => {
  if (!batch || client.pending) return;
  client.pending = new Map();
  client.interval = interval;
  if (!intervals.has(interval)) {
    const clients = new Set();
    intervals.set(interval, clients);
    setInterval(flush, interval, clients);
  }
  intervals.get(interval).add(client);
  for (const symbol of client.symbols) {
    leave(subscribers, symbol, client);
    join(batched, symbol, client);
  }
};

const subscribe = async (client, { symbol, symbols = [symbol] }) => {
  for (const name of symbols) {
    client.symbols.add(name);
    join(client.pending ? batched : subscribers, name, client);
  }
  client.send(JSON.stringify({ type: "subscribed", symbols }));
  const latest = await reader.mGet(symbols.map((name) => PREFIX + name));
  for (const price of latest) if (price !== null) client.send(price);
};

const onClose = (client) => {
  for (const symbol of client.symbols) {
    leave(subscribers, symbol, client);
    leave(batched, symbol, client);
  }
  intervals.get(client.interval)?.delete(client);
};

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(process.env.PORT),
  path: "/live-price",
  perMessageDeflate: false,
  skipUTF8Validation: true,
  backlog: 4096,
});
server.on("connection", (client) => {
  client.symbols = new Set();
  client.on("error", () => client.terminate());
  client.on("close", () => onClose(client));
  client.on("message", (data) => {
    let request;
    try {
      request = JSON.parse(data);
    } catch {
      return client.send('{"type":"error","code":400,"message":"not JSON"}');
    }
    if (request.action === "subscribe") subscribe(client, request);
    else if (request.action === "configure") configure(client, request);
  });
});

await feed.pSubscribe(`${PREFIX}*`, onMessage, true);
