// The quotes of the symbols in the list that shows: one subscription, and what is new of each.

import { difference } from "../format.js";

const DAY_MS = 86_400_000;
const IST_MS = 19_800_000;
const ALREADY_SUBSCRIBED = 409;
const USUAL_DECIMALS = 2;

// What a quote lacks while it has no price. `state`: waiting, unknown, refused, offline.
class Note {
  constructor(state, message = "", suggestions = []) {
    this.state = state;
    this.message = message;
    this.suggestions = suggestions;
  }
}

export class Quote {
  constructor(name) {
    this.name = name; // as it is in the list
    this.key = name; // the instrument's, once the server has said it
    this.symbol = name.slice(name.indexOf(":") + 1);
    this.segment = "";
    this.decimals = USUAL_DECIMALS;
    this.late = 0; // minutes
    this.note = new Note("subscribing");
    this.slot = null; // the row that shows it
    // Resolves once the server has said which instrument the name is, or that it is none.
    this.settled = new Promise((resolve) => {
      this.settle = resolve;
    });
    this.clear();
  }

  clear() {
    this.price = "";
    this.timestamp = 0;
    this.day = 0;
    this.forgetDay();
    this.bid = this.ask = "";
  }

  forgetDay() {
    this.open = this.high = this.low = this.previous = this.volume = "";
    this.sentChange = this.sentPercent = "";
  }

  // Prices in other modes may lack the day's fields: the last of the same day stay.
  take(tick) {
    const day = Math.floor((tick.timestamp + IST_MS) / DAY_MS);
    if (day !== this.day) {
      this.forgetDay();
      this.day = day;
    }
    this.price = tick.price;
    this.timestamp = tick.timestamp;
    this.sentChange = tick.change ?? "";
    this.sentPercent = tick.change_pct ?? "";
    this.open = tick.open ?? this.open;
    this.high = tick.high ?? this.high;
    this.low = tick.low ?? this.low;
    this.previous = tick.prev_close ?? this.previous;
    this.volume = tick.volume ?? this.volume;
    this.bid = tick.bid ?? this.bid;
    this.ask = tick.ask ?? this.ask;
    this.note = null;
  }

  // Against the previous close; empty if that is not known.
  get change() {
    if (this.sentChange !== "") return this.sentChange;
    return this.previous === "" ? "" : difference(this.price, this.previous);
  }

  get percent() {
    if (this.sentPercent !== "") return this.sentPercent;
    const before = Number(this.previous);
    return this.previous === "" || before === 0 ? "" : (Number(this.change) / before) * 100;
  }

  // Where the price lies between the day's low and high, from 0 to 1; null if that is not known.
  get position() {
    if (this.low === "" || this.high === "") return null;
    const low = Math.min(Number(this.low), Number(this.price));
    const high = Math.max(Number(this.high), Number(this.price));
    return high > low ? (Number(this.price) - low) / (high - low) : 0.5;
  }
}

export class Quotes {
  // changed(quote): a row is to be painted; duplicate(name): it is in the list under another name;
  // refused(name, message).
  constructor(app, { changed, duplicate, refused, moved }) {
    this.client = app.client;
    this.rest = app.rest;
    this.byName = new Map();
    this.byKey = new Map();
    this.changed = changed;
    this.duplicate = duplicate;
    this.refused = refused;
    this.moved = moved;
    this.decimals = new Map(); // segment -> decimals
    this.delayed = {}; // segment -> minutes
    this.newest = 0; // timestamp of the newest price
    this.isConnected = false;
    this.subscription = null;
    this.client.on("authenticated", ({ delayed }) => this.setDelayed(delayed ?? {}));
    this.client.on("entitlements", ({ delayed }) => this.setDelayed(delayed ?? {}));
  }

  get(name) {
    return this.byName.get(name);
  }

  // Shows exactly these names; returns their quotes.
  show(names) {
    const wanted = new Set(names);
    const gone = [...this.byName.keys()].filter((name) => !wanted.has(name));
    const added = names.filter((name) => !this.byName.has(name));
    for (const name of gone) {
      const quote = this.byName.get(name);
      if (this.byKey.get(quote.key) === quote) this.byKey.delete(quote.key);
      this.byName.delete(name);
    }
    for (const name of added) {
      const quote = new Quote(name);
      if (!this.isConnected) quote.note = new Note("offline");
      this.byName.set(name, quote);
    }
    if (this.subscription === null) {
      if (added.length > 0) this.subscribe(added);
    } else {
      if (gone.length > 0) this.subscription.remove(gone);
      if (added.length > 0) this.subscription.add(added);
    }
    return names.map((name) => this.byName.get(name));
  }

  subscribe(names) {
    const subscription = this.client.subscribe(names, { mode: "quote", resume: false });
    subscription.on("price", (tick) => this.take(tick));
    subscription.on("subscribed", (answer) => this.subscribed(answer));
    subscription.on("rejected", (error) => this.reject(error));
    this.subscription = subscription;
  }

  // Forgets all prices: another user may not see them.
  forget() {
    const names = [...this.byName.keys()];
    this.subscription?.close();
    this.subscription = null;
    this.byName.clear();
    this.byKey.clear();
    return this.show(names);
  }

  setConnected(isConnected) {
    this.isConnected = isConnected;
    for (const quote of this.byName.values()) {
      if (quote.price !== "" || quote.note === null) continue;
      const { state } = quote.note;
      if (isConnected && state === "offline") quote.note = new Note("subscribing");
      else if (!isConnected && (state === "subscribing" || state === "waiting")) {
        quote.note = new Note("offline");
      }
      this.changed(quote);
    }
  }

  take(tick) {
    const quote = this.byName.get(tick.name);
    if (quote === undefined) return;
    if (tick.segment !== undefined && tick.segment !== quote.segment) this.describe(quote, tick);
    const before = quote.price;
    quote.take(tick);
    if (tick.timestamp > this.newest) this.newest = tick.timestamp;
    if (before !== "") this.moved();
    this.changed(quote);
  }

  subscribed({ name, key, known, suggestions }) {
    const quote = this.byName.get(name);
    if (quote === undefined) return;
    quote.key = key ?? name;
    const other = this.byKey.get(quote.key);
    if (other !== undefined && other !== quote && this.byName.get(other.name) === other) {
      this.duplicate(name);
      return;
    }
    this.byKey.set(quote.key, quote);
    const colon = quote.key.indexOf(":");
    const segment = colon > 0 ? quote.key.slice(0, colon) : "";
    if (this.decimals.has(segment) || this.decimals.size === 0) {
      this.describe(quote, { segment, symbol: segment ? quote.key.slice(colon + 1) : quote.key });
    }
    if (quote.price === "") {
      quote.note = known === false ? new Note("unknown", "", suggestions) : new Note("waiting");
    }
    quote.settle();
    this.changed(quote);
  }

  describe(quote, { segment, symbol }) {
    quote.segment = segment;
    quote.symbol = symbol;
    quote.decimals = this.decimals.get(segment) ?? USUAL_DECIMALS;
    quote.late = this.delayed[segment || "OTHER"] ?? 0;
  }

  reject(error) {
    const quote = this.byName.get(error.symbol);
    if (quote === undefined) return;
    if (error.code === ALREADY_SUBSCRIBED) {
      this.duplicate(quote.name);
      return;
    }
    quote.clear();
    quote.settle();
    quote.note = new Note("refused", error.message);
    this.changed(quote);
    this.refused(quote.name, error.message);
  }

  setDelayed(delayed) {
    this.delayed = delayed;
    for (const quote of this.byName.values()) {
      quote.late = delayed[quote.segment || "OTHER"] ?? 0;
      this.changed(quote);
    }
  }

  // Reads how many decimals the prices of each segment have.
  async readSegments() {
    let segments;
    try {
      segments = await this.rest.get("segments/");
    } catch {
      return; // the usual two decimals, and all digits that come
    }
    this.decimals = new Map(segments.map(({ code, decimals }) => [code, Number(decimals)]));
    for (const quote of this.byName.values()) {
      quote.decimals = this.decimals.get(quote.segment) ?? USUAL_DECIMALS;
      this.changed(quote);
    }
  }
}
