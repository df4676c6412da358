// The first version's job on Socket.IO 4: a room per symbol, one shared Redis subscription.
//
// A client emits "subscribe" with {"symbols":[..]} and receives a "tick" event per price: the value
// of stock:SYMBOL first, then every message of that channel. Socket.IO encodes a broadcast once.
//
// Environment: PORT, REDIS_PORT.

import { createServer } from "node:http";

import { createClient } from "@redis/client";
import { Server } from "socket.io";

const PREFIX = "stock:";

const url = `redis://127.0.0.1:${process.env.REDIS_PORT}`;
const reader = await createClient({ url }).connect();
const feed = await createClient({ url }).connect();

const http = createServer();
const server = new Server(http, {
  transports: ["websocket"],
  serveClient: false,
  perMessageDeflate: false,
  // Longer than any run: the load client counts prices and answers no ping.
  pingInterval: 600_000,
});
// Its documentation's advice for memory: the first HTTP request of a connection is not needed.
server.engine.on("connection", (socket) => {
  socket.request = null;
});
server.on("connection", (socket) => {
  socket.on("subscribe", async ({ symbols }) => {
    socket.join(symbols);
    socket.emit("subscribed", { symbols });
    const latest = await reader.mGet(symbols.map((name) => PREFIX + name));
    for (const price of latest) if (price !== null) socket.emit("tick", JSON.parse(price));
  });
});

await feed.pSubscribe(`${PREFIX}*`, (message, channel) => {
  server.to(channel.slice(PREFIX.length)).emit("tick", JSON.parse(message));
});
http.listen({ host: "127.0.0.1", port: Number(process.env.PORT), backlog: 4096 });
