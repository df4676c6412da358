// What clients of the first version do, with the socket.io-client of npm, unmodified.
//
// Arguments: a port, the transports ("polling", "websocket", or "" for the default), a task, and for
// some tasks a symbol or a token. Each line of the output is an event: its name, and what came with it.

import { createRequire } from "node:module";

const { io } = createRequire(`${process.cwd()}/`)("socket.io-client");
const [port, transports, task, argument] = process.argv.slice(2);
const options = transports ? { transports: [transports] } : {};
if (task === "auth") options.auth = { token: argument };
const socket = io(`http://127.0.0.1:${port}`, options);
const show = (name, value) => console.log(JSON.stringify([name, value]));

socket.io.on("open", () => {
  show("open", socket.io.engine.transport.name);
  socket.io.engine.once("upgrade", () => show("upgrade", socket.io.engine.transport.name));
});
socket.on("connect", () => {
  if (task === "authenticate") socket.emit("authenticate", argument);
  if (task === "subscribe") socket.emit("subscribe", argument);
  if (task === "ack") socket.emit("subscribe", ["AAPL", "MSFT"], (answer) => show("ack", answer));
  if (task === "many") for (let n = 0; n < 40; n += 1) socket.emit("subscribe", `S${n}`);
});
socket.on("stockUpdate", (price) => show("stockUpdate", price));
socket.on("notice", (notice) => show("notice", notice.type));
socket.on("disconnect", (reason) => show("disconnect", reason));
socket.on("connect_error", (error) => show("connect_error", [error.message, error.data ?? null]));
process.stdin.on("data", () => socket.disconnect());
process.stdin.on("end", () => process.exit(0));
