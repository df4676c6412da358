// Names on the wire: what all subscriptions of a client together want of each.
//
// The server has one subscription per connection and instrument. Several of ours may want the same
// one, under several names, so they are counted: the server is told to stop when nobody is left.

import { SymbolError } from "./errors.js";
import { CandleStream } from "./streams.js";
import { isForNow, named } from "./wire.js";

// A message may have 64 KiB; `since` of a symbol takes about as much as three names.
const MAX_NAMES = 400;
const MAX_BYTES = 40_000;
const RICHNESS = { ltp: 1, quote: 2, full: 3 };
const INTERVAL_MS = /** @type {Record<string, number>} */ ({
  "1m": 60_000, "3m": 180_000, "5m": 300_000, "10m": 600_000, "15m": 900_000, "30m": 1_800_000,
  "60m": 3_600_000, "1d": 86_400_000,
});
const MAX_CANDLES = 1000;
// In place of a name: all instruments of the segment.
const ALL = "*";

/** @typedef {import("./streams.js").Route & {wantsHistory?: boolean}} Route */

/**
 * A name on the wire, with what all subscriptions together want of it.
 * @typedef {object} Want
 * @property {string} name
 * @property {string} segment
 * @property {string} candles
 * @property {Set<Route>} routes
 * @property {"new" | "asked" | "live" | "renew" | "refused"} phase
 * @property {any} stream a Stream, or a CandleStream; null before the first acknowledgement
 * @property {string | undefined} mode
 * @property {boolean} everyTick
 * @property {boolean} resume
 * @property {any} history to be asked for with the next message
 * @property {boolean} isBack whether it is asked for after a loss
 * @property {number} conflicts answers of 409 where nobody else of ours has the instrument
 * @property {{mode: string | undefined, everyTick: boolean}} sent
 * @property {SymbolError | null} error
 * @property {{known: boolean, suggestions: string[]}} naming
 */

export class Names {
  /** @type {Map<string, Want>} */
  #wants = new Map();
  /** @type {Map<string, CandleStream>} */
  #candles = new Map();
  /** Segment -> the name that stands for all of it. @type {Map<string, Want>} */
  #wholes = new Map();
  #maxBytes = MAX_BYTES;
  #wire;
  #chains;

  /**
   * @param {import("./wire.js").Wire} wire
   * @param {import("./chains.js").Chains} chains
   */
  constructor(wire, chains) {
    this.#wire = wire;
    this.#chains = chains;
  }

  /** @param {string} id */
  get(id) {
    return this.#wants.get(id);
  }

  // -- from users -----------------------------------------------------------------------------

  /**
   * @param {string} id
   * @param {Route} route
   */
  add(id, route) {
    const { name } = route;
    const { candles = "", segment = "", mode, conflate, history, resume = true } =
      route.subscription.options;
    route.wantsHistory = history !== undefined;
    const everyTick = conflate === false;
    const want = this.#wants.get(id);
    if (want !== undefined) {
      want.routes.add(route);
      want.resume ||= resume;
      this.#join(want, route, { mode, everyTick, history });
      return;
    }
    this.#wants.set(id, {
      name, segment, candles, mode, everyTick, resume, history, routes: new Set([route]),
      phase: "new", stream: null, isBack: false, error: null, conflicts: 0,
      naming: { known: true, suggestions: [] }, sent: { mode, everyTick: false },
    });
    this.#wire.due();
  }

  /** Lets a route join a name that others have: with its newest price, as from the server.
   * @param {Want} want
   * @param {Route} route
   * @param {{mode: string | undefined, everyTick: boolean, history: any}} wish
   */
  #join(want, route, { mode, everyTick, history }) {
    this.#updateRoutes(want);
    const isRicher = richness(mode) > richness(want.mode);
    if (isRicher) want.mode = mode;
    everyTick &&= !want.everyTick;
    want.everyTick ||= everyTick;
    if (history !== undefined) want.history = history;
    if (want.phase === "refused" && want.error) {
      const { error } = want;
      queueMicrotask(() => route.subscription.emit("rejected", error));
      return;
    }
    if (want.phase === "live" && (isRicher || everyTick || history !== undefined)) {
      want.phase = "renew";
      this.#wire.due();
    }
    const { stream } = want;
    if (stream === null) return;
    // It begins with the newest price, but not with one that lacks fields that it wants.
    const isAwaited = stream.waiting?.size > 0 && richness(mode) === richness(want.mode);
    const waits = (isRicher || isAwaited) && history === undefined;
    if (waits) stream.waiting?.add(route);
    queueMicrotask(() => {
      if (!want.routes.has(route) || want.stream === null) return;
      this.#emitSubscribed(want, route);
      const { last } = want.stream;
      if (last !== undefined && !(waits && stream.waiting)) give(want.stream, route, last);
    });
  }

  /** @param {string} id @param {Route} route */
  remove(id, route) {
    const want = this.#wants.get(id);
    if (want === undefined) return;
    want.routes.delete(route);
    want.stream?.waiting?.delete(route);
    this.#updateRoutes(want);
    if (want.routes.size === 0) this.#wire.due();
  }

  // -- to the server --------------------------------------------------------------------------

  /** The connection is ready for use. @param {number} [maxBytes] of a message */
  opened(maxBytes = MAX_BYTES) {
    this.#maxBytes = Math.max(1000, Math.min(MAX_BYTES, maxBytes * 0.7));
  }

  /** The connection was lost: everything is to be asked for again. */
  lost() {
    for (const stream of this.#wire.streams.values()) stream.isRicher = false;
    for (const [id, want] of this.#wants) {
      if (want.routes.size === 0) {
        this.#wants.delete(id);
        this.#detach(want);
        continue;
      }
      want.isBack = want.stream !== null;
      want.history ??= historyOf(want);
      want.phase = "new";
      want.conflicts = 0;
    }
  }

  /** Sends what changed, behind what is left: there is room for so many symbols. */
  flush() {
    this.#removeUnwanted();
    this.#renew();
    /** @type {Map<string, Want[]>} */
    const groups = new Map();
    for (const want of this.#wants.values()) {
      if (want.phase !== "new" || want.routes.size === 0) continue;
      const { segment, candles, mode, everyTick } = want;
      const isWhole = isWholeSegment(want);
      const wish = [segment, candles, mode, everyTick, this.#historyFor(want) ?? null, isWhole];
      const group = JSON.stringify(wish);
      const found = groups.get(group);
      if (found) found.push(want);
      else groups.set(group, [want]);
    }
    for (const wants of groups.values()) {
      for (const some of this.#chunks(wants)) this.#ask(some);
    }
  }

  /** @param {Want[]} wants */
  *#chunks(wants) {
    let size = 0;
    /** @type {Want[]} */
    let chunk = [];
    for (const want of wants) {
      const bytes = 3 * want.name.length + 80;
      if (chunk.length >= MAX_NAMES || (chunk.length > 0 && size + bytes > this.#maxBytes)) {
        yield chunk;
        [chunk, size] = [[], 0];
      }
      chunk.push(want);
      size += bytes;
    }
    if (chunk.length > 0) yield chunk;
  }

  /** @param {Want} want */
  #historyFor(want) {
    if (want.history !== undefined) return want.history;
    const last = want.candles && want.isBack ? want.stream?.last : undefined;
    if (last === undefined) return undefined;
    // The candles of the time of the loss.
    const length = INTERVAL_MS[want.stream.interval] ?? 60_000;
    const missed = Math.ceil((Date.now() - last.start) / length) + 1;
    return {
      candles: { interval: want.candles, count: Math.min(MAX_CANDLES, Math.max(2, missed)) },
    };
  }

  /** @param {Want[]} wants */
  #ask(wants) {
    const [first] = /** @type {[Want]} */ (wants);
    const { segment, candles, mode, everyTick } = first;
    const history = this.#historyFor(first);
    /** @type {Record<string, {epoch: number, seq: number}>} */
    const since = {};
    for (const want of wants) {
      want.phase = "asked";
      want.history = undefined;
      want.sent = { mode, everyTick };
      const { stream } = want;
      if (candles) continue;
      if (want.resume && history === undefined && stream !== null && stream.epoch > 0) {
        // The newest price once more, if a subscription waits for the rest of its fields.
        stream.repeated = stream.waiting.size > 0 && stream.seq > 0 ? 1 : 0;
        since[want.name] = { epoch: stream.epoch, seq: stream.seq - stream.repeated };
      } else {
        want.isBack = false;
      }
    }
    const message = {
      action: "subscribe",
      symbols: isWholeSegment(first) ? ALL : wants.map((want) => want.name),
      ...(segment ? { segment } : {}),
      ...(candles ? { candles } : {}),
      ...(mode && !candles ? { mode } : {}),
      ...(everyTick && !candles ? { conflate: false } : {}),
      ...(candles ? {} : { seq: true }), // they show what came before, also without `resume`
      ...(history ? { history } : {}),
      ...(Object.keys(since).length > 0 ? { since } : {}),
    };
    this.#wire.ask(
      message,
      (answer) => this.#acknowledged(wants, answer),
      (error) => {
        for (const want of wants) this.#refuse(want, error.code, error.message);
      },
    );
  }

  /**
   * @param {Want} want
   * @param {number} code
   * @param {string} message
   */
  #refuse(want, code, message) {
    if (isForNow(code)) {
      want.phase = "new";
      this.#wire.retry();
      return;
    }
    const isNew = want.error?.code !== code;
    want.phase = "refused";
    want.error = new SymbolError(message, code, want.name);
    this.#detach(want);
    if (want.routes.size === 0) this.#wire.due();
    if (isNew) for (const route of want.routes) route.subscription.emit("rejected", want.error);
  }

  /**
   * @param {Want[]} wants
   * @param {any} answer
   */
  #acknowledged(wants, answer) {
    const keys = answer.keys ?? {};
    /** @type {Map<string, any>} */
    const rejected = new Map();
    for (const item of answer.rejected) rejected.set(item.symbol, item);
    /** @type {Map<string, string[]>} */
    const unknown = new Map();
    for (const item of answer.unknown ?? []) unknown.set(item.symbol, item.suggestions);
    for (const want of wants) {
      // All of a segment is acknowledged, or rejected, as SEGMENT:*.
      const segment = isWholeSegment(want) ? answer.segments?.[0] : undefined;
      const item = isWholeSegment(want) ? answer.rejected[0] : rejected.get(want.name);
      if (item !== undefined && item.code !== 409) {
        this.#refuse(want, item.code, item.message);
        continue;
      }
      want.naming = { known: !unknown.has(want.name), suggestions: unknown.get(want.name) ?? [] };
      const key = segment ? `${segment}:${ALL}` : (keys[want.name] ?? item?.key ?? want.name);
      if (item !== undefined && !this.#hasOther(want, key, answer.candles) && !want.conflicts++) {
        want.phase = "new"; // what had it was left in the meantime
        continue;
      }
      const isNew = want.stream === null || want.stream.key !== key || want.error !== null;
      this.#attach(want, key, answer.candles);
      want.phase = "live";
      want.error = null;
      if (isNew) for (const route of want.routes) this.#emitSubscribed(want, route);
      if (item !== undefined) this.#joined(want);
      else {
        if (want.stream.waiting?.size > 0) want.stream.isRicher = true;
        this.#checkSent(want);
      }
    }
    this.#wire.due(); // for what was left meanwhile
  }

  /**
   * Returns whether another of ours has the instrument already.
   * @param {Want} want
   * @param {string} key
   * @param {string | undefined} interval
   */
  #hasOther(want, key, interval) {
    const stream = interval ? this.#candles.get(`${interval}\n${key}`) : this.#wire.streams.get(key);
    return stream !== undefined && stream.owners.size > (stream.owners.has(want) ? 1 : 0);
  }

  /** Another name had the stream already: its newest price is there, its mode may be too little.
   * @param {Want} want
   */
  #joined(want) {
    const { stream } = want;
    const others = [...stream.owners.keys()].filter((one) => one !== want);
    const isPoorer = others.every((one) => richness(one.mode) < richness(want.mode));
    const everyTick = want.everyTick && others.every((one) => !one.everyTick);
    const hasHistory = historyOf(want) !== undefined;
    const waits = others.length > 0 && isPoorer && !hasHistory && stream.waiting !== undefined;
    if (stream.last !== undefined && !want.isBack) {
      for (const route of want.routes) {
        if (waits) stream.waiting.add(route);
        else give(stream, route, stream.last);
      }
    }
    if (others.length > 0 && (isPoorer || everyTick || hasHistory)) {
      if (hasHistory) want.history = historyOf(want);
      want.phase = "renew";
    }
  }

  /** Others may have joined, and want more, while the request was under way.
   * @param {Want} want
   */
  #checkSent(want) {
    const { mode, everyTick } = want.sent;
    const isRicher = richness(want.mode) > richness(mode);
    if (isRicher || (want.everyTick && !everyTick) || want.history !== undefined) {
      want.phase = "renew";
    }
    if (!isRicher || want.history !== undefined) return;
    for (const route of want.routes) {
      const isPoorer = richness(mode) < richness(route.subscription.options.mode);
      if (isPoorer) want.stream.waiting?.add(route);
    }
  }

  /** Lets the server begin with some names once more, in a richer mode or with their past. Names
   * of others that mean the same go on with the same stream.
   */
  #renew() {
    for (const want of this.#wants.values()) {
      if (want.phase !== "renew") continue;
      this.#wire.hooks.send(leaving(want));
      want.phase = "new";
    }
  }

  /** @param {Want} want @param {Route} route */
  #emitSubscribed(want, route) {
    const key = want.stream?.key ?? want.name;
    route.subscription.emit("subscribed", { name: route.name, key, ...want.naming });
  }

  #removeUnwanted() {
    /** @type {string[]} */
    const keys = [];
    /** @type {Map<string, string[]>} */
    const candles = new Map();
    for (const [id, want] of this.#wants) {
      if (want.routes.size > 0 || want.phase === "asked") continue;
      this.#wants.delete(id);
      const { stream } = want;
      this.#detach(want);
      if (stream === null || (want.phase !== "live" && want.phase !== "renew")) continue;
      if (isWholeSegment(want)) this.#wire.hooks.send(leaving({ ...want, stream }));
      else if (want.candles && stream.owners.size === 0) {
        candles.set(stream.interval, [...(candles.get(stream.interval) ?? []), stream.key]);
      } else if (!want.candles && (stream.owners.size === 0 || this.#chains.takeBack(stream))) {
        keys.push(stream.key);
      }
    }
    keys.push(...this.#chains.removeUnwanted());
    this.#unsubscribe(keys, "");
    for (const [interval, some] of candles) this.#unsubscribe(some, interval);
  }

  /**
   * @param {string[]} keys
   * @param {string} candles
   */
  #unsubscribe(keys, candles) {
    for (let at = 0; at < keys.length; at += MAX_NAMES) {
      const symbols = keys.slice(at, at + MAX_NAMES);
      const message = { action: "unsubscribe", symbols, ...(candles ? { candles } : {}) };
      this.#wire.leave(message, candles ? [] : symbols);
    }
  }

  // -- streams --------------------------------------------------------------------------------

  /**
   * @param {Want} want
   * @param {string} key
   * @param {string} [interval]
   */
  #attach(want, key, interval) {
    if (want.stream !== null && want.stream.key !== key) this.#detach(want);
    if (want.stream === null) {
      want.stream = interval ? this.#candlesOf(key, interval) : this.#wire.streams.ensure(key);
      want.stream.owners.set(want, want.routes);
      if (!interval) this.#joinWholes(want, want.stream);
    }
    this.#updateRoutes(want);
  }

  /** @param {string} key @param {string} interval */
  #candlesOf(key, interval) {
    const id = `${interval}\n${key}`;
    let stream = this.#candles.get(id);
    if (stream === undefined) this.#candles.set(id, (stream = new CandleStream(key, interval)));
    return stream;
  }

  /** @param {Want} want */
  #detach(want) {
    const { stream } = want;
    want.stream = null;
    if (stream === null) return;
    if (stream instanceof CandleStream) {
      stream.owners.delete(want);
      stream.updateRoutes();
      if (stream.owners.size === 0) this.#candles.delete(`${stream.interval}\n${stream.key}`);
      return;
    }
    if (isWholeSegment(want)) {
      this.#wholes.delete(stream.segment);
      for (const each of [...this.#wire.streams.values()]) this.#wire.streams.disown(each, want);
    }
    this.#wire.streams.disown(stream, want);
  }

  /** @param {Want} want */
  #updateRoutes(want) {
    want.stream?.updateRoutes();
    if (!isWholeSegment(want) || want.stream === null) return;
    for (const each of this.#wire.streams.values()) if (each.owners.has(want)) each.updateRoutes();
  }

  /** Lets the instruments of a whole segment go to those who want it, under their keys.
   * @param {Want} want
   * @param {import("./streams.js").Stream} stream
   */
  #joinWholes(want, stream) {
    if (isWholeSegment(want)) {
      this.#wholes.set(stream.segment, want);
      for (const each of this.#wire.streams.values()) {
        if (each.segment === stream.segment && each !== stream) this.#own(want, each);
      }
    } else {
      const whole = this.#wholes.get(stream.segment);
      if (whole !== undefined) this.#own(whole, stream);
    }
  }

  /** @param {Want} whole @param {import("./streams.js").Stream} stream */
  #own(whole, stream) {
    const name = stream.key;
    stream.owners.set(whole, {
      *[Symbol.iterator]() {
        for (const { subscription } of whole.routes) yield { subscription, name };
      },
    });
    stream.updateRoutes();
  }

  /**
   * Returns the stream of a price that none was known for: of a segment that is wanted as a whole,
   * or of a name that means another instrument since the instrument master changed.
   * @param {any} tick
   */
  unknown(tick) {
    const segment = tick.segment ?? "";
    const key = segment ? `${segment}:${tick.symbol}` : tick.symbol;
    const whole = this.#wholes.get(segment);
    if (whole !== undefined) {
      const stream = this.#wire.streams.ensure(key);
      this.#own(whole, stream);
      return stream;
    }
    if (this.#wire.leaving.has(key)) return undefined;
    for (const want of this.#wants.values()) {
      const { stream, candles, name, phase } = want;
      if (phase !== "live" || candles || stream === null) continue;
      if (stream.symbol !== tick.symbol || name.includes(":")) continue;
      this.#attach(want, key);
      for (const route of want.routes) this.#emitSubscribed(want, route);
    }
    return this.#wire.streams.get(key);
  }

  // -- from the server ------------------------------------------------------------------------

  /** @param {any} frame */
  candle({ type: _, ...candle }) {
    const { key, interval } = candle;
    // Without its segment: a server that does not say what the names of candles mean.
    const stream =
      this.#candles.get(`${interval}\n${key}`) ??
      this.#candles.get(`${interval}\n${key.slice(key.indexOf(":") + 1)}`);
    if (stream === undefined) return;
    stream.last = candle;
    for (const route of stream.routes) give(stream, route, candle);
  }

  /** @param {any} frame */
  pastCandles({ symbol, key, interval, candles }) {
    const values = candles.map((/** @type {any} */ one) => ({ key, interval, ...one }));
    for (const want of this.#wants.values()) {
      if (!want.candles || want.name !== symbol || want.stream?.interval !== interval) continue;
      this.#attach(want, key, interval);
      this.#giveCandles(want, values);
    }
  }

  /** @param {Want} want @param {any[]} values */
  #giveCandles(want, values) {
    const { stream, isBack } = want;
    const { last } = stream;
    const missed = isBack && last ? values.filter((one) => one.start >= last.start) : [];
    const reaches = values.length > 0 && last !== undefined && values[0].start <= last.start;
    const reason = reaches ? {} : { reason: "the candles of that time could not be read" };
    for (const route of want.routes) {
      if (route.wantsHistory) {
        route.wantsHistory = false;
        const past = values.map((one) => named(one, route.name));
        route.subscription.emit("history", { name: route.name, candles: past });
      } else if (isBack) {
        const recovered = { symbol: route.name, recovered: reaches, ticks: missed.length, ...reason };
        route.subscription.emit("recovered", recovered);
        for (const candle of missed) give(stream, route, candle);
      }
    }
    want.isBack = false;
    if (values.length > 0) stream.last = values[values.length - 1];
  }

  /** @param {any} frame */
  pastTicks({ symbol, key, ticks }) {
    const stream = this.#wire.streams.get(key);
    if (stream === undefined) return;
    /** @type {Set<Route>} */
    const waiting = new Set();
    for (const want of this.#wants.values()) {
      if (want.stream !== stream || want.name !== symbol) continue;
      for (const route of want.routes) if (route.wantsHistory) waiting.add(route);
    }
    for (const route of waiting) {
      route.wantsHistory = false;
      const past = ticks.map((/** @type {any} */ one) => named(one, route.name));
      route.subscription.emit("history", { name: route.name, ticks: past });
    }
    // Others who had the stream already miss nothing by this.
    const isKnown = stream.epoch > 0;
    for (const tick of ticks) {
      if (!stream.take(tick) || !isKnown) continue;
      for (const route of stream.routes) if (!waiting.has(route)) give(stream, route, tick);
    }
  }

  /**
   * The user may no longer see some instruments, and perhaps others again.
   * @param {string[]} dropped
   */
  entitlementsChanged(dropped) {
    const keys = new Set(dropped);
    for (const want of this.#wants.values()) {
      if (want.stream !== null && want.phase === "live" && keys.has(want.stream.key)) {
        this.#refuse(want, 403, `no longer entitled to ${want.stream.key}`);
      } else if (want.phase === "refused" && want.error?.code === 403) {
        want.phase = "new";
      }
    }
    this.#wire.due();
  }
}

/** @param {string | undefined} mode */
function richness(mode) {
  return RICHNESS[/** @type {"full"} */ (mode ?? "full")] ?? 3;
}

/** @param {Want} want */
function isWholeSegment(want) {
  return want.name === ALL && want.segment !== "" && want.candles === "";
}

/** Returns the message that unsubscribes a name. @param {Want} want */
function leaving(want) {
  const { key, segment, interval } = want.stream;
  if (isWholeSegment(want)) return { action: "unsubscribe", segment, symbols: ALL };
  return { action: "unsubscribe", symbols: [key], ...(interval ? { candles: interval } : {}) };
}

/** @param {Want} want */
function historyOf(want) {
  for (const route of want.routes) {
    if (route.wantsHistory) return route.subscription.options.history;
  }
  return undefined;
}

/** @param {unknown} stream @param {Route} route @param {any} value */
function give(stream, route, value) {
  route.subscription.give(stream, named(value, route.name));
}
