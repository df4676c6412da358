// What of the client needs no server: numbers, buffers, streams, back-off.

import assert from "node:assert/strict";
import { test } from "node:test";

const source = new URL("../../../clients/js/src/", import.meta.url);
const { parseExact, parseExactFrame } = await import(new URL("numbers.js", source));
const { Buffer } = await import(new URL("buffer.js", source));
const { Streams } = await import(new URL("streams.js", source));
const { Requests } = await import(new URL("requests.js", source));
const { Link } = await import(new URL("link.js", source));
const { socketAddress } = await import(new URL("price-client.js", source));

test("exact numbers are text, whatever surrounds them", () => {
  const cases = [
    ['{"price":2950.50}', { price: "2950.50" }],
    ['{"price":-0.0,"a":1E+5,"b":[1.10,2]}', { price: "-0.0", a: "1E+5", b: ["1.10", "2"] }],
    ['{"timestamp":1712331900000,"seq":7,"epoch":1}', { timestamp: 1712331900000, seq: 7, epoch: 1 }],
    ['{"name":"1.5 \\"2.5\\" \\\\","note":"\\u0031:3"}', { name: '1.5 "2.5" \\', note: "1:3" }],
    ['{"a\\"1.5":2.50}', { 'a"1.5': "2.50" }],
    ['{"x" : 1.0 , "seq" : 2}', { x: "1.0", seq: 2 }],
    ['[{"price":1.0},{"price":2.0}]', [{ price: "1.0" }, { price: "2.0" }]],
    ['{"oi":null,"final":true,"shown":false}', { oi: null, final: true, shown: false }],
    ['{"depth":{"buy":[{"price":1.50,"quantity":5,"orders":1}],"sell":[]}}',
      { depth: { buy: [{ price: "1.50", quantity: "5", orders: 1 }], sell: [] } }],
    ["1.50", "1.50"],
    ['"1.50"', "1.50"],
    ["null", null],
    [" [ 1.0 , { } , [ ] ] ", ["1.0", {}, []]],
    ['{"a":[],"b":{},"c":[[1.0]]}', { a: [], b: {}, c: [["1.0"]] }],
    ['{"a":1.0,"a":2.0}', { a: "2.0" }],
    ['{"a":"é € 😀","b":-1.5e-7}', { a: "é € 😀", b: "-1.5e-7" }],
    ['{"ticks":[{"seq":1,"price":1.0}]}', { ticks: [{ seq: 1, price: "1.0" }] }],
    ['{"volume":123456789012345678901234567890}', { volume: "123456789012345678901234567890" }],
  ];
  for (const [text, value] of cases) assert.deepEqual(parseExact(text), value, text);
  const own = parseExact('{"__proto__":{"price":1.50}}');
  assert.deepEqual([Object.keys(own), own.price], [["__proto__"], undefined]);
  assert.equal(parseExact(`${"[".repeat(100)}1.50${"]".repeat(100)}`).flat(100)[0], "1.50");
  for (const bad of ["{", "", "[1,]", '{"a"}', '{"a":}', "[1 2]", "nul", '{"a":1}}', '"', "[", "{a:1}", "[1.]", "[01]", "[+1]", "[NaN]"]) {
    assert.throws(() => JSON.parse(bad), SyntaxError, bad);
    assert.throws(() => parseExact(bad), SyntaxError, bad);
  }
  assert.equal(parseExactFrame('{"type":"conflated","skipped":17}').skipped, 17);
  assert.equal(parseExactFrame('{"type":"candle","key":"A","close":1.50}').close, "1.50");
});

function buffer(everyTick = false) {
  const told = { skipped: 0, full: 0, room: 0, ended: 0 };
  const made = new Buffer({
    onSkipped: (count) => (told.skipped += count),
    onFull: () => (told.full += 1),
    onRoom: () => (told.room += 1),
    onEnd: () => (told.ended += 1),
    everyTick: () => everyTick,
  });
  return [made, told];
}

const value = async (made) => (await made.next()).value;

test("a buffer keeps order, and wakes who waits", async () => {
  const [made] = buffer();
  const waiting = [made.next(), made.next()];
  for (const each of [1, 2, 3]) made.put("A", each);
  assert.deepEqual([(await waiting[0]).value, (await waiting[1]).value], [1, 2]);
  assert.equal(await value(made), 3);
  made.put("A", 4);
  made.end();
  made.put("A", 5);
  assert.equal(await value(made), 4);
  assert.equal((await made.next()).done, true);
});

test("a full buffer keeps the newest of each symbol, in order of change", async () => {
  const [made, told] = buffer();
  for (let at = 0; at < 100_000; at += 1) made.put(at % 3, at);
  assert.equal(made.size, 3);
  assert.equal(told.skipped, 100_000 - 3);
  assert.deepEqual([await value(made), await value(made), await value(made)], [99_997, 99_998, 99_999]);
  made.put(0, "next");
  assert.equal(await value(made), "next");
});

test("a full buffer of every tick says so, and when there is room again", async () => {
  const [made, told] = buffer(true);
  for (let at = 0; at < 1000; at += 1) made.put("A", at);
  assert.deepEqual(told, { skipped: 0, full: 1, room: 0, ended: 0 });
  for (let at = 0; at < 1000; at += 1) assert.equal(await value(made), at);
  assert.equal(told.room, 1);
});

test("the error of an end comes behind the values, once", async () => {
  const [made] = buffer();
  made.put("A", 1);
  made.end(new Error("over"));
  assert.equal(await value(made), 1);
  await assert.rejects(made.next(), /over/);
  assert.equal((await made.next()).done, true);
  const [other] = buffer();
  const waiting = other.next();
  other.end(new Error("over"));
  await assert.rejects(waiting, /over/);
});

test("a stream takes each number once, and every epoch", () => {
  const stream = new Streams().ensure("NSE_EQ:A");
  const took = (epoch, seq, price = 1) => stream.take({ epoch, seq, price, timestamp: seq });
  assert.deepEqual([took(5, 1), took(5, 2), took(5, 2), took(5, 1)], [true, true, false, false]);
  assert.deepEqual([took(6, 1), took(4, 9), took(4, 9)], [true, true, false]);
  assert.deepEqual([stream.epoch, stream.seq], [4, 9]);
  assert.equal(stream.take({ price: 1, timestamp: 1 }), true, "without a number");
});

test("a price shown before its number came is not shown again after a loss", () => {
  const stream = new Streams().ensure("A");
  const price = (epoch, seq, timestamp) => stream.take({ epoch, seq, price: 7, timestamp });
  assert.equal(price(5, 1, 100), true);
  assert.equal(price(0, 0, 101), true);
  assert.deepEqual([stream.epoch, stream.seq], [5, 1], "nobody resumes from it");
  stream.replaying = 2;
  assert.equal(price(5, 2, 101), false);
  assert.equal(price(5, 3, 101), true);
});

test("the newest price comes once more to routes that wait for a richer mode", () => {
  const stream = new Streams().ensure("A");
  const [first, later] = [{ name: "first" }, { name: "later" }];
  stream.owners.set({}, [first, later]);
  stream.updateRoutes();
  const tick = (seq, volume) => ({ epoch: 5, seq, price: seq, timestamp: seq, volume });
  stream.take(tick(1));
  stream.take(tick(2));
  stream.waiting.add(later);
  assert.deepEqual(stream.takeAgain(tick(2, 7)), [], "on its way in the mode of before");
  stream.isRicher = true;
  assert.deepEqual(stream.takeAgain(tick(1, 7)), [], "an older one");
  assert.deepEqual(stream.takeAgain(tick(2, 7)), [later]);
  assert.equal(stream.last.volume, 7);
  assert.deepEqual(stream.takeAgain(tick(2, 7)), []);
  stream.waiting.add(later);
  stream.isRicher = true;
  assert.equal(stream.take(tick(3, 7)), true);
  assert.deepEqual([stream.waiting.size, stream.isRicher], [0, false], "a newer one went to all");
  stream.replaying = 2;
  assert.deepEqual([stream.take(tick(3)), stream.replaying], [false, 1]);
});

test("streams are found by symbol and segment", () => {
  const streams = new Streams();
  const keys = ["NSE_EQ:A", "BSE_EQ:A", "A", "X:Y", "NFO:A"];
  for (const key of keys) streams.ensure(key);
  const find = (segment, symbol) => streams.of(segment ? { segment, symbol } : { symbol })?.key;
  assert.deepEqual(
    [find("NSE_EQ", "A"), find("BSE_EQ", "A"), find("", "A"), find("", "X:Y"), find("MCX", "A")],
    ["NSE_EQ:A", "BSE_EQ:A", "A", "X:Y", undefined],
  );
  for (const key of ["BSE_EQ:A", "NFO:A", "A"]) streams.delete(streams.get(key));
  assert.deepEqual([find("NSE_EQ", "A"), find("BSE_EQ", "A"), find("", "A")], ["NSE_EQ:A", undefined, undefined]);
});

test("requests are paced, and matched to their answers", async () => {
  const sent = [];
  const requests = new Requests((text) => sent.push(JSON.parse(text)));
  const calls = Array.from({ length: 150 }, () => requests.call({ action: "list" }));
  assert.ok(sent.length >= 100 && sent.length < 150, "the others wait");
  assert.equal(requests.take({ type: "pong", id: 999 }), false);
  assert.equal(requests.take({ type: "subscriptions", id: 2, symbols: [] }), true);
  assert.equal((await calls[1]).id, 2);
  requests.take({ type: "error", id: 1, code: 429, message: "slow down" });
  await assert.rejects(calls[0], { code: 429 });
  requests.fail();
  await Promise.all(calls.slice(2).map((call) => assert.rejects(call, { code: 1006 })));
});

test("the back-off is random, within growing bounds, and ends with `close`", async () => {
  const delays = [];
  const sockets = [];
  class Fake {
    constructor(url) {
      this.url = url;
      sockets.push(this);
      queueMicrotask(() => this.onclose?.({ code: 1006, reason: "" }));
    }
    close() {}
  }
  const hooks = {
    address: async () => "ws://host/",
    opened() {}, received() {}, lost() {}, probe() {},
    changed() {
      if (link.state === "waiting") delays.push(link.retryAt - Date.now());
    },
  };
  const options = { WebSocket: Fake, silenceMs: 30_000, minBackoffMs: 1, maxBackoffMs: 16 };
  const link = new Link(hooks, options);
  while (delays.length < 12) await new Promise((resolve) => setTimeout(resolve, 5));
  link.close();
  assert.equal(link.state, "closed");
  for (const [at, delay] of delays.entries()) {
    assert.ok(delay >= 0 && delay <= Math.min(16, 2 ** (at + 1)) + 1, `${delay} ms at ${at}`);
  }
  const count = sockets.length;
  await new Promise((resolve) => setTimeout(resolve, 40));
  assert.equal(sockets.length, count, "it stays closed");
});

test("addresses of the server in every form", () => {
  const cases = [
    ["ws://host:5000/live-price", "ws://host:5000/live-price"],
    ["http://host:5000", "ws://host:5000/live-price"],
    ["https://host/", "wss://host/live-price"],
    ["wss://host/prices/live-price", "wss://host/prices/live-price"],
    ["ws://[::1]:5000", "ws://[::1]:5000/live-price"],
  ];
  for (const [given, address] of cases) assert.equal(socketAddress(given), address);
  for (const bad of ["", "host:5000", "/live-price", "ftp://host"]) {
    assert.throws(() => socketAddress(bad), TypeError);
  }
});
