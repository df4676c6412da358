// The first page: rows of symbols whose prices change. Text of others only becomes textContent.

import { Feed } from "./feed.js";
import { age, difference, symbolsIn } from "./frames.js";

const MOST_ROWS = 500;
const NAMES_PER_MESSAGE = 200;
const RETRY_MS = 3000;
const CODES_TO_RETRY = [429, 500, 503];
const ALREADY_SUBSCRIBED = 409;
const WAITING = "waiting for its first price";
const UNKNOWN = "no instrument or publisher has this name";

const STATES = {
  connecting: ["Connecting", ""],
  live: ["Live", ""],
  quiet: ["Quiet", "connected; no price has changed lately"],
  down: ["Down", "connected, but the server gets no prices at the moment"],
  waiting: ["Reconnecting", "the connection was lost; prices below may be old"],
  closed: ["Disconnected", ""],
};
const NEVER_OPEN = "the server does not answer, or refuses this page";

const $ = (id) => document.getElementById(id);
const rows = new Map(); // symbol as typed -> row
const routes = new Map(); // segment and symbol of frames -> row
const asked = new Map(); // id of a message -> symbols in it
const changed = new Set(); // rows to draw
let lastId = 0;

const feed = new Feed({
  url: `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/live-price`,
  heartbeatS: Number(document.body.dataset.heartbeatS),
  onState: showState,
  onOpen: () => {
    asked.clear();
    for (const [name, row] of rows) {
      if (row.leaving) rows.delete(name);
    }
    routes.clear();
    if (rows.size > 0) subscribe([...rows.keys()]);
    else feed.send({ action: "ping" }); // the answer says how the feed is
  },
  onFrame: receive,
});

// -- the connection's state ------------------------------------------------------------------

function showState(state, detail) {
  const [name, usually] = STATES[state];
  const meaning = state === "waiting" && !feed.everOpen ? NEVER_OPEN : usually;
  setText($("state-name"), name);
  // Seconds that count down are for the eye: read aloud they would never end.
  setText($("state-wait"), state === "waiting" ? ` in ${detail} s` : "");
  setText($("state-detail"), state === "closed" ? sentence(detail) : meaning);
  $("state").dataset.state = state;
  $("connect").hidden = state !== "waiting" && state !== "closed";
  document.body.classList.toggle("stale", state !== "live" && state !== "quiet");
}

// -- rows ------------------------------------------------------------------------------------

function add(name) {
  const known = rows.get(name);
  if (known && !known.leaving) return false;
  const element = document.createElement("tr");
  element.setAttribute("role", "row");
  const cells = {};
  for (const [part, tag, className] of [
    ["symbol", "th", "symbol"],
    ["price", "td", "number price"],
    ["change", "td", "number change"],
    ["time", "td", "time"],
    ["age", "td", "age"],
    ["remove", "td", "remove"],
  ]) {
    cells[part] = document.createElement(tag);
    cells[part].className = className;
    cells[part].setAttribute("role", tag === "th" ? "rowheader" : "cell");
    element.append(cells[part]);
  }
  cells.symbol.scope = "row";
  cells.symbol.textContent = name;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "×";
  button.setAttribute("aria-label", `Unsubscribe ${name}`);
  button.addEventListener("click", () => remove(name));
  cells.remove.append(button);
  const row = { name, element, cells, leaving: false, priceText: "", frames: 0 };
  rows.set(name, row);
  routes.clear();
  setNote(row, "subscribing");
  $("rows").append(element);
  return true;
}

function remove(name) {
  const row = rows.get(name);
  const button = row.element.nextElementSibling?.querySelector("button");
  row.element.remove();
  row.leaving = feed.send({ action: "unsubscribe", symbol: name });
  if (!row.leaving) rows.delete(name);
  routes.clear();
  remember();
  (button ?? $("symbols")).focus();
}

function shown() {
  return [...rows.values()].filter((row) => !row.leaving);
}

function setNote(row, note, suggestions = []) {
  row.note = note;
  row.suggestions = suggestions;
  changed.add(row);
  drawSoon();
}

// -- the protocol ----------------------------------------------------------------------------

function subscribe(names) {
  for (let at = 0; at < names.length; at += NAMES_PER_MESSAGE) {
    const symbols = names.slice(at, at + NAMES_PER_MESSAGE);
    lastId += 1;
    if (!feed.send({ action: "subscribe", symbols, id: lastId })) return;
    asked.set(lastId, symbols);
    for (const name of symbols) {
      const row = rows.get(name);
      row.frames = 0;
      if (!row.priceText) setNote(row, "subscribing");
    }
  }
}

function receive(frame) {
  if (frame.type === undefined) receivePrice(frame);
  else if (frame.type === "subscribed") receiveSubscribed(frame);
  else if (frame.type === "unsubscribed") {
    for (const name of [...frame.symbols, ...frame.rejected.map((one) => one.symbol)]) {
      if (rows.get(name)?.leaving) rows.delete(name);
    }
    routes.clear();
  } else if (frame.type === "error") receiveError(frame);
  else if (frame.type === "conflated") {
    notify(`This page could not keep up: ${frame.skipped} prices between were skipped.`);
  }
}

function receiveSubscribed(frame) {
  asked.delete(frame.id);
  const unknown = new Map((frame.unknown ?? []).map((one) => [one.symbol, one.suggestions]));
  for (const name of frame.symbols) {
    const row = rows.get(name);
    if (!row) continue;
    row.key = frame.keys?.[name] ?? name;
    if (row.priceText) continue;
    if (unknown.has(name)) setNote(row, UNKNOWN, unknown.get(name));
    else setNote(row, WAITING);
  }
  routes.clear();
  for (const { symbol, code, message } of frame.rejected) {
    const row = rows.get(symbol);
    if (!row || row.leaving) continue;
    if (code === ALREADY_SUBSCRIBED) {
      // Another name of an instrument that has a row.
      if (row.priceText || row.note === WAITING) continue;
      row.element.remove();
      rows.delete(symbol);
      notify(`${symbol} is here already, under another name.`);
    } else {
      setNote(row, message, unknown.get(symbol));
      notify(`${symbol}: ${message}.`);
    }
  }
  remember();
}

function receiveError(frame) {
  const names = (asked.get(frame.id) ?? []).filter((name) => rows.has(name));
  asked.delete(frame.id);
  notify(`${sentence(String(frame.message))}.`);
  for (const name of names) setNote(rows.get(name), String(frame.message));
  if (names.length > 0 && CODES_TO_RETRY.includes(frame.code)) {
    setTimeout(() => subscribe(names.filter((name) => rows.has(name))), RETRY_MS);
  }
}

function receivePrice(frame) {
  const row = rowOf(frame);
  if (row.leaving) return;
  if (row.priceText) row.change = difference(frame.priceText, row.priceText);
  row.priceText = frame.priceText;
  row.timestamp = frame.timestamp;
  row.note = "";
  row.frames += 1;
  if (row.frames > 1) feed.moved(); // the first one after subscribing may be old
  changed.add(row);
  drawSoon();
}

// A frame has the symbol of the exchange and its segment; who asked may have used another name:
// NSE_EQ:RELIANCE, NSE:RELIANCE, RELIANCE.
function rowOf(frame) {
  const symbol = String(frame.symbol);
  const segment = String(frame.segment ?? "");
  const route = `${segment}:${symbol}`;
  let row = routes.get(route);
  if (row === undefined) {
    const alias = (name) => {
      const colon = name.indexOf(":");
      return colon > 0 && name.slice(colon + 1) === symbol && segment.startsWith(name.slice(0, colon));
    };
    const key = segment ? route : symbol;
    row = rows.get(key) ?? [...rows.values()].find((one) => one.key === key);
    row ??= rows.get([...rows.keys()].find(alias)) ?? rows.get(symbol);
    if (row === undefined) {
      add(key);
      row = rows.get(key);
    }
    routes.set(route, row);
  }
  return row;
}

// -- drawing ---------------------------------------------------------------------------------

let drawing = false;

function drawSoon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    for (const row of changed) draw(row);
    changed.clear();
    $("empty").hidden = shown().length > 0;
  });
}

function draw(row) {
  const { cells, element } = row;
  element.classList.toggle("noted", Boolean(row.note) && !row.priceText);
  if (row.note && !row.priceText) {
    drawNote(row);
    return;
  }
  setText(cells.price, row.priceText);
  if (row.change !== undefined) {
    const direction = row.change.startsWith("-") ? "down" : /[1-9]/.test(row.change) ? "up" : "same";
    const text = { up: `+${row.change}`, down: `−${row.change.slice(1)}`, same: row.change };
    setText(cells.change, text[direction]);
    element.dataset.direction = direction;
    flash(element, direction);
  }
  setText(cells.time, clock(row.timestamp));
  drawAge(row);
}

function drawNote(row) {
  if (row.suggestions.length === 0) {
    setText(row.cells.price, row.note);
    return;
  }
  row.cells.price.textContent = `${row.note}; did you mean `;
  for (const suggestion of row.suggestions) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "suggestion";
    button.textContent = suggestion;
    button.addEventListener("click", () => replace(row.name, suggestion));
    row.cells.price.append(button, " ");
  }
}

function replace(name, other) {
  remove(name);
  subscribe([other].filter(add));
  remember();
}

function flash(element, direction) {
  if (direction === "same") return;
  element.classList.remove("flash-a", "flash-b");
  element.dataset.turn = element.dataset.turn === "a" ? "b" : "a";
  element.classList.add(`flash-${element.dataset.turn}`);
}

function drawAge(row) {
  if (!row.priceText) return;
  const now = Date.now() + feed.clockOffsetMs;
  setText(row.cells.age, age(Math.max(0, now - row.timestamp)));
}

const TIME = new Intl.DateTimeFormat("en-GB", {
  timeZone: "Asia/Kolkata",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const DATE = new Intl.DateTimeFormat("en-GB", {
  timeZone: "Asia/Kolkata",
  day: "numeric",
  month: "short",
  year: "numeric",
});

function clock(timestamp) {
  const moment = new Date(timestamp);
  if (Number.isNaN(moment.getTime())) return String(timestamp);
  const today = DATE.format(new Date()) === DATE.format(moment);
  return today ? TIME.format(moment) : `${DATE.format(moment)} ${TIME.format(moment)}`;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function notify(text) {
  setText($("notice-text"), text);
  $("notice").hidden = false;
}

// -- the address, the form -------------------------------------------------------------------

function remember() {
  const hash = shown().map((row) => encodeURIComponent(row.name)).join(",");
  history.replaceState(null, "", `#${hash}`);
  $("empty").hidden = hash !== "";
}

function wanted() {
  if (location.hash.length < 2) return symbolsIn(document.body.dataset.symbols);
  const names = location.hash.slice(1).split(",").map((part) => {
    try {
      return decodeURIComponent(part).trim();
    } catch {
      return part; // a stray % in an address that somebody typed
    }
  });
  return [...new Set(names.filter((name) => name !== ""))].slice(0, MOST_ROWS);
}

$("add").addEventListener("submit", (event) => {
  event.preventDefault();
  const names = symbolsIn($("symbols").value);
  const room = MOST_ROWS - shown().length;
  const added = names.slice(0, room).filter(add);
  if (names.length > room) notify(`This page shows at most ${MOST_ROWS} symbols.`);
  else if (names.length > 0 && added.length === 0) notify(`${names.join(", ")}: here already.`);
  else $("notice").hidden = true;
  subscribe(added);
  remember();
  $("symbols").value = "";
});

$("notice-close").addEventListener("click", () => {
  $("notice").hidden = true;
});

$("connect").addEventListener("click", () => feed.connect());

addEventListener("hashchange", () => {
  const names = new Set(wanted());
  for (const row of shown()) {
    if (!names.has(row.name)) remove(row.name);
  }
  subscribe([...names].filter(add));
  remember();
});

setInterval(() => shown().forEach(drawAge), 1000);
for (const name of wanted()) add(name);
feed.connect();
