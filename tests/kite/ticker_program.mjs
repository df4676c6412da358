// What a program does with the official JavaScript ticker, as ticker_program.py does in Python.
// The client does not subscribe again by itself: as its documentation says, that is done on connect.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const { KiteTicker } = createRequire(process.cwd() + "/")("kiteconnect");
const [root, api_key, access_token] = process.argv.slice(2);
const ticker = new KiteTicker({ api_key, access_token, root });
const show = (event, values) => console.log(JSON.stringify({ event, ...values }));
const modes = {};

const plain = (tick) => {
  for (const name of ["last_trade_time", "exchange_timestamp"]) {
    if (tick[name]) tick[name] = tick[name].getTime() / 1000;
  }
  return tick;
};

const commands = {
  subscribe(tokens) {
    tokens.forEach((token) => (modes[token] ??= "quote"));
    ticker.subscribe(tokens);
  },
  set_mode(mode, tokens) {
    tokens.forEach((token) => (modes[token] = mode));
    ticker.setMode(mode, tokens);
  },
  unsubscribe(tokens) {
    tokens.forEach((token) => delete modes[token]);
    ticker.unsubscribe(tokens);
  },
};

ticker.on("connect", () => {
  show("connect");
  for (const mode of new Set(Object.values(modes))) {
    const tokens = Object.keys(modes).filter((token) => modes[token] === mode);
    ticker.subscribe(tokens.map(Number));
    ticker.setMode(mode, tokens.map(Number));
  }
});
ticker.on("ticks", (ticks) => show("ticks", { ticks: ticks.map(plain) }));
ticker.on("error", (error) => show("error", { reason: error.message }));
ticker.on("close", (event) => show("close", { code: event.code, reason: event.reason }));
ticker.on("reconnect", (attempts) => show("reconnect", { attempts }));
ticker.connect();
createInterface({ input: process.stdin })
  .on("line", (line) => {
    const [command, ...values] = JSON.parse(line);
    commands[command](...values);
  })
  .on("close", () => process.exit());
