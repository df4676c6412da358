// Many clients of npm's socket.io-client with its defaults: polls that become WebSockets.
//
// Arguments: a port, how many clients, and a symbol. Prints ["ready", ids of the connections] when
// all are subscribed and have their WebSocket, and again whenever all have connected once more; and
// for each line of the input, a price, ["prices", what each client has got] when all have got that.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { io } = createRequire(`${process.cwd()}/`)("socket.io-client");
const [port, count, symbol] = process.argv.slice(2);
const show = (name, value) => console.log(JSON.stringify([name, value]));
const clients = [];
const waiting = new Set();
let wanted = null;

function look() {
  if (wanted === null || !clients.every((one) => one.prices.at(-1) === wanted)) return;
  wanted = null;
  show("prices", clients.map((one) => one.prices.splice(0)));
}

for (let n = 0; n < Number(count); n += 1) {
  const client = { socket: null, prices: [] };
  const options = { forceNew: true, reconnectionDelay: 100, reconnectionDelayMax: 500 };
  client.socket = io(`http://127.0.0.1:${port}`, options);
  clients.push(client);
  waiting.add(client);
  let upgraded = false;
  let subscribed = false;
  const ready = () => {
    if (!upgraded || !subscribed || !waiting.delete(client) || waiting.size) return;
    show("ready", clients.map((one) => one.socket.io.engine.id));
  };
  client.socket.io.on("open", () => {
    client.socket.io.engine.on("upgrade", () => {
      upgraded = true;
      ready();
    });
  });
  client.socket.on("connect", () => {
    client.socket.emit("subscribe", symbol, () => {
      subscribed = true;
      ready();
    });
  });
  client.socket.on("disconnect", (reason, details) => {
    console.error(reason, details?.message, details?.description, details?.context?.responseText ?? details?.context);
    upgraded = subscribed = false;
    client.prices = [];
    waiting.add(client);
    show("disconnect", reason);
  });
  client.socket.on("stockUpdate", ({ price }) => {
    client.prices.push(price);
    look();
  });
}
createInterface({ input: process.stdin }).on("line", (line) => {
  wanted = Number(line);
  look();
});
