// The book of subscriptions: what the users of one client want, and what the server was told.
//
// The server has one subscription per connection and instrument. Several of ours may want the same
// one, under several names, so they are counted: the server is told to stop when nobody is left.

import { SymbolError } from "./errors.js";
import { Streams } from "./streams.js";
import { Subscription } from "./subscription.js";

// A message may have 64 KiB; `since` of a symbol takes about as much as three names.
const MAX_NAMES = 400;
const MAX_BYTES = 40_000;
const RETRY_MS = 1000;
const RICHNESS = { ltp: 1, quote: 2, full: 3 };
const INTERVAL_MS = /** @type {Record<string, number>} */ ({
  "1m": 60_000, "3m": 180_000, "5m": 300_000, "10m": 600_000, "15m": 900_000, "30m": 1_800_000,
  "60m": 3_600_000, "1d": 86_400_000,
});
const MAX_CANDLES = 1000;

/** @typedef {import("./streams.js").Route & {wantsHistory?: boolean}} Route */

/**
 * A name on the wire, with what all subscriptions together want of it.
 * @typedef {object} Want
 * @property {string} id
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

/**
 * An option chain on the wire.
 * @typedef {object} Chain
 * @property {string} id
 * @property {string} underlying
 * @property {string} segment
 * @property {string | undefined} expiry
 * @property {number | undefined} strikes
 * @property {boolean} follow
 * @property {string | undefined} mode
 * @property {Set<Route>} routes
 * @property {"new" | "asked" | "live" | "refused"} phase
 * @property {Map<string, Route[]>} keys instrument key -> routes of that option
 * @property {any} values of the acknowledgement
 * @property {boolean} isBack whether it is asked for after a loss
 */

/** The candles of one instrument and interval. */
class CandleStream {
  /** @param {string} key @param {string} interval */
  constructor(key, interval) {
    this.key = key;
    this.interval = interval;
    /** @type {Route[]} */
    this.routes = [];
    /** @type {Map<object, Iterable<Route>>} */
    this.owners = new Map();
    /** @type {any} */
    this.last = undefined;
  }

  updateRoutes() {
    /** @type {Route[]} */
    const routes = [];
    for (const each of this.owners.values()) routes.push(...each);
    this.routes = routes;
  }
}

export class Book {
  #streams = new Streams();
  /** @type {Map<string, CandleStream>} */
  #candles = new Map();
  /** @type {Map<string, Want>} */
  #wants = new Map();
  /** @type {Map<string, Chain>} */
  #chains = new Map();
  /** @type {Map<Subscription, Map<string, Route>>} want or chain id -> route */
  #routes = new Map();
  #isOpen = false;
  #isDue = false;
  #connection = 0;
  /** @type {any} */
  #retryTimer = undefined;
  #maxBytes = MAX_BYTES;

  /**
   * @param {{send: (message: any, answered?: (answer: any) => void,
   *          failed?: (error: import("./errors.js").PriceError) => void) => void,
   *          skipped: (count: number) => void,
   *          full: (buffer: object) => void, room: (buffer: object) => void,
   *          unauthenticated: (error: import("./errors.js").PriceError) => void}} hooks
   */
  constructor(hooks) {
    this.hooks = hooks;
  }

  // -- from users -----------------------------------------------------------------------------

  /**
   * @param {string[]} names
   * @param {Record<string, any>} options
   */
  subscribe(names, options) {
    const subscription = new Subscription(this, options);
    this.#routes.set(subscription, new Map());
    this.add(subscription, names);
    return subscription;
  }

  /**
   * @param {string} underlying
   * @param {Record<string, any>} options
   */
  subscribeChain(underlying, options) {
    const subscription = new Subscription(this, options);
    const { expiry, segment = "", strikesAround, follow = false, mode } = options;
    const id = `chain\n${segment}\n${underlying.toUpperCase()}\n${expiry ?? ""}`;
    const route = { subscription, name: underlying };
    this.#routes.set(subscription, new Map([[id, route]]));
    let chain = this.#chains.get(id);
    if (chain === undefined) {
      chain = {
        id, underlying, segment, expiry, strikes: strikesAround, follow, mode,
        routes: new Set([route]), phase: "new", keys: new Map(), values: null,
        isBack: false,
      };
      this.#chains.set(id, chain);
      this.#due();
      return subscription;
    }
    chain.routes.add(route);
    const strikes = chain.strikes === undefined || strikesAround === undefined
      ? undefined : Math.max(chain.strikes, strikesAround);
    if (strikes !== chain.strikes || (follow && !chain.follow)) {
      chain.strikes = strikes;
      chain.follow ||= follow && strikes !== undefined;
      if (chain.phase !== "asked") chain.phase = "new";
      this.#due();
    }
    const shared = chain;
    queueMicrotask(() => this.#joinChain(shared, route));
    return subscription;
  }

  /**
   * @param {Subscription} subscription
   * @param {string[]} names
   */
  add(subscription, names) {
    const routes = this.#routes.get(subscription);
    if (routes === undefined) return;
    const { candles = "", segment = "", mode, conflate, history, resume = true } =
      subscription.options;
    for (const name of names) {
      const id = `${candles}\n${segment}\n${name}`;
      if (routes.has(id)) continue;
      /** @type {Route} */
      const route = { subscription, name, wantsHistory: history !== undefined };
      routes.set(id, route);
      const want = this.#wants.get(id);
      if (want === undefined) {
        this.#wants.set(id, {
          id, name, segment, candles, mode, everyTick: conflate === false, resume, history,
          routes: new Set([route]), phase: "new", stream: null, isBack: false, error: null,
          naming: { known: true, suggestions: [] }, conflicts: 0, sent: { mode, everyTick: false },
        });
        this.#due();
      } else {
        want.routes.add(route);
        want.resume ||= resume;
        this.#join(want, route, { mode, everyTick: conflate === false, history });
      }
    }
  }

  /** Lets a route join a name that others have: with its newest price, as from the server.
   * @param {Want} want
   * @param {Route} route
   * @param {{mode: string | undefined, everyTick: boolean, history: any}} wish
   */
  #join(want, route, { mode, everyTick, history }) {
    want.stream?.updateRoutes();
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
      this.#due();
    }
    if (want.phase === "live" || want.stream?.last !== undefined) {
      queueMicrotask(() => {
        if (!want.routes.has(route) || want.stream === null) return;
        this.#emitSubscribed(want, route);
        const { last } = want.stream;
        if (last !== undefined) this.#give(want.stream, route, last);
      });
    }
  }

  /**
   * @param {Subscription} subscription
   * @param {string[]} names
   */
  remove(subscription, names) {
    const routes = this.#routes.get(subscription);
    const { candles = "", segment = "" } = subscription.options;
    for (const name of names) {
      const id = `${candles}\n${segment}\n${name}`;
      const route = routes?.get(id);
      if (routes === undefined || route === undefined) continue;
      routes.delete(id);
      this.#leave(id, route);
    }
  }

  /** @param {Subscription} subscription */
  removeAll(subscription) {
    const routes = this.#routes.get(subscription);
    this.#routes.delete(subscription);
    for (const [id, route] of routes ?? []) this.#leave(id, route);
  }

  /**
   * @param {string} id
   * @param {Route} route
   */
  #leave(id, route) {
    const owner = this.#wants.get(id) ?? this.#chains.get(id);
    if (owner === undefined) return;
    owner.routes.delete(route);
    if ("keys" in owner) {
      for (const [key, routes] of owner.keys) {
        owner.keys.set(key, routes.filter((one) => one.subscription !== route.subscription));
        this.#streams.get(key)?.updateRoutes();
      }
    } else {
      owner.stream?.updateRoutes();
    }
    if (owner.routes.size === 0) this.#due();
  }

  /** @param {Subscription} subscription */
  namesOf(subscription) {
    const names = [];
    for (const id of this.#routes.get(subscription)?.keys() ?? []) {
      const chain = this.#chains.get(id);
      if (chain !== undefined) names.push(...chain.keys.keys());
      else names.push(/** @type {Want} */ (this.#wants.get(id)).name);
    }
    return names;
  }

  /** Yields the newest value of each name that has one. @param {Subscription} subscription */
  *newest(subscription) {
    for (const [id, route] of this.#routes.get(subscription) ?? []) {
      const want = this.#wants.get(id);
      const last = want?.stream?.last;
      if (want && last !== undefined) yield [want.stream, named(last, route.name)];
      for (const key of this.#chains.get(id)?.keys.keys() ?? []) {
        const stream = this.#streams.get(key);
        if (stream?.last !== undefined) yield [stream, named(stream.last, key)];
      }
    }
  }

  get subscriptions() {
    return this.#routes.keys();
  }

  // -- to the server --------------------------------------------------------------------------

  /** The connection is ready for use. @param {number} [maxBytes] of a message */
  opened(maxBytes = MAX_BYTES) {
    this.#isOpen = true;
    this.#maxBytes = Math.max(1000, Math.min(MAX_BYTES, maxBytes * 0.7));
    this.#due();
  }

  /** The connection was lost: everything is to be asked for again. */
  lost() {
    this.#isOpen = false;
    this.#connection += 1;
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    for (const [id, want] of this.#wants) {
      if (want.routes.size === 0) {
        this.#wants.delete(id);
        this.#detach(want);
        continue;
      }
      want.isBack = want.stream !== null;
      want.history ??= historyOf(want);
      want.phase = "new";
    }
    for (const [id, chain] of this.#chains) {
      chain.phase = "new";
      chain.isBack = chain.values !== null;
      if (chain.routes.size === 0) this.#dropChain(id, chain);
    }
  }

  #due() {
    if (this.#isDue) return;
    this.#isDue = true;
    // What is asked for in one go takes few messages.
    queueMicrotask(() => {
      this.#isDue = false;
      if (this.#isOpen) this.#flush();
    });
  }

  #flush() {
    this.#removeUnwanted();
    this.#renew();
    /** @type {Map<string, Want[]>} */
    const groups = new Map();
    for (const want of this.#wants.values()) {
      if (want.phase !== "new" || want.routes.size === 0) continue;
      const history = this.#historyFor(want);
      const group = JSON.stringify([
        want.segment, want.candles, want.mode, want.everyTick, history ?? null,
      ]);
      const found = groups.get(group);
      if (found) found.push(want);
      else groups.set(group, [want]);
    }
    for (const wants of groups.values()) {
      for (const some of this.#chunks(wants)) this.#ask(some);
    }
    for (const chain of this.#chains.values()) if (chain.phase === "new") this.#askChain(chain);
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
    const connection = this.#connection;
    const [{ segment, candles, mode, everyTick }] = /** @type {[Want]} */ (wants);
    const history = this.#historyFor(/** @type {Want} */ (wants[0]));
    /** @type {Record<string, {epoch: number, seq: number}>} */
    const since = {};
    for (const want of wants) {
      want.phase = "asked";
      want.history = undefined;
      want.sent = { mode, everyTick };
      const stream = want.stream;
      if (candles) continue;
      if (want.resume && history === undefined && stream !== null && stream.epoch > 0) {
        since[want.name] = { epoch: stream.epoch, seq: stream.seq };
      } else {
        want.isBack = false;
      }
    }
    const hasSince = Object.keys(since).length > 0;
    const message = {
      action: "subscribe",
      symbols: wants.map((want) => want.name),
      ...(segment ? { segment } : {}),
      ...(candles ? { candles } : {}),
      ...(mode && !candles ? { mode } : {}),
      ...(everyTick && !candles ? { conflate: false } : {}),
      ...(candles ? {} : { seq: true }), // they show what came before, also without `resume`
      ...(history ? { history } : {}),
      ...(hasSince ? { since } : {}),
    };
    this.hooks.send(
      message,
      (answer) => this.#acknowledged(wants, answer),
      (error) => {
        if (connection === this.#connection) this.#failed(wants, error);
      },
    );
  }

  /**
   * @param {Want[]} wants
   * @param {import("./errors.js").PriceError} error
   */
  #failed(wants, error) {
    if (error.code === 401) this.hooks.unauthenticated(error);
    for (const want of wants) this.#refuse(want, error.code, error.message);
  }

  /**
   * @param {Want} want
   * @param {number} code
   * @param {string} message
   */
  #refuse(want, code, message) {
    if (code === 429 || code >= 500) {
      want.phase = "new";
      this.#retryTimer ??= setTimeout(() => {
        this.#retryTimer = undefined;
        this.#due();
      }, RETRY_MS * (1 + Math.random()));
      return;
    }
    const isNew = want.error?.code !== code;
    want.phase = "refused";
    want.error = new SymbolError(message, code, want.name);
    this.#detach(want);
    if (want.routes.size === 0) this.#due();
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
      const item = rejected.get(want.name);
      if (item !== undefined && item.code !== 409) {
        this.#refuse(want, item.code, item.message);
        continue;
      }
      want.naming = { known: !unknown.has(want.name), suggestions: unknown.get(want.name) ?? [] };
      const key = keys[want.name] ?? item?.key ?? want.name;
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
      else this.#checkSent(want);
    }
    this.#due(); // for what was left meanwhile
  }

  /**
   * Returns whether another of ours has the instrument already.
   * @param {Want} want
   * @param {string} key
   * @param {string | undefined} interval
   */
  #hasOther(want, key, interval) {
    const stream = interval ? this.#candles.get(`${interval}\n${key}`) : this.#streams.get(key);
    return stream !== undefined && stream.owners.size > (stream.owners.has(want) ? 1 : 0);
  }

  /** Another name had the stream already: its newest price is there, its mode may be too little.
   * @param {Want} want
   */
  #joined(want) {
    const { stream } = want;
    if (stream.last !== undefined && !want.isBack) {
      for (const route of want.routes) this.#give(stream, route, stream.last);
    }
    const others = [...stream.owners.keys()].filter((one) => one !== want);
    const isPoorer = others.every((one) => richness(one.mode) < richness(want.mode));
    const everyTick = want.everyTick && others.every((one) => !one.everyTick);
    const hasHistory = historyOf(want) !== undefined;
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
  }

  /** Lets the server begin with some names once more, in a richer mode or with their past. Names
   * of others that mean the same go on with the same stream.
   */
  #renew() {
    for (const want of this.#wants.values()) {
      if (want.phase !== "renew") continue;
      this.#unsubscribe([want.stream.key], want.stream.interval ?? "");
      want.phase = "new";
    }
  }

  /** @param {Want} want @param {Route} route */
  #emitSubscribed(want, route) {
    route.subscription.emit("subscribed", {
      name: route.name,
      key: want.stream?.key ?? want.name,
      ...want.naming,
    });
  }

  /**
   * @param {Want} want
   * @param {string} key
   * @param {string} [interval]
   */
  #attach(want, key, interval) {
    if (want.stream !== null && want.stream.key !== key) this.#detach(want);
    if (want.stream === null) {
      want.stream = interval ? this.#candlesOf(key, interval) : this.#streams.ensure(key);
      want.stream.owners.set(want, want.routes);
    }
    want.stream.updateRoutes();
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
    stream.owners.delete(want);
    stream.updateRoutes();
    this.#deleteUnowned(stream);
  }

  /** @param {any} stream */
  #deleteUnowned(stream) {
    if (stream.owners.size > 0) return;
    if (stream instanceof CandleStream) this.#candles.delete(`${stream.interval}\n${stream.key}`);
    else this.#streams.delete(stream);
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
      if (stream.owners.size === 0) {
        if (!want.candles) keys.push(stream.key);
        else candles.set(stream.interval, [...(candles.get(stream.interval) ?? []), stream.key]);
      } else if (!want.candles) {
        this.#returnToChains(stream, keys);
      }
    }
    for (const [id, chain] of this.#chains) {
      if (chain.routes.size > 0 || chain.phase === "asked") continue;
      keys.push(...this.#dropChain(id, chain));
    }
    this.#unsubscribe(keys, "");
    for (const [interval, some] of candles) this.#unsubscribe(some, interval);
  }

  /** An option that was named, and belongs to a chain as well, must follow the money again.
   * @param {any} stream
   * @param {string[]} keys
   */
  #returnToChains(stream, keys) {
    const chains = [...stream.owners.keys()].filter((one) => "keys" in one);
    if (chains.length === 0 || chains.length < stream.owners.size) return;
    keys.push(stream.key);
    for (const chain of chains) if (chain.phase === "live") chain.phase = "new";
  }

  /**
   * @param {string[]} keys
   * @param {string} candles
   */
  #unsubscribe(keys, candles) {
    for (let at = 0; at < keys.length; at += MAX_NAMES) {
      const symbols = keys.slice(at, at + MAX_NAMES);
      const more = candles ? { candles } : {};
      this.hooks.send({ action: "unsubscribe", symbols, ...more });
    }
  }

  // -- option chains --------------------------------------------------------------------------

  /** @param {Chain} chain */
  #askChain(chain) {
    const connection = this.#connection;
    chain.phase = "asked";
    /** @type {Record<string, {epoch: number, seq: number}>} */
    const since = {};
    for (const key of chain.keys.keys()) {
      const stream = this.#streams.get(key);
      if (stream && stream.epoch > 0) since[key] = { epoch: stream.epoch, seq: stream.seq };
    }
    const { underlying, segment, expiry, strikes, follow, mode } = chain;
    const message = {
      action: "subscribe",
      underlying,
      seq: true,
      ...(segment ? { segment } : {}),
      ...(expiry ? { expiry } : {}),
      ...(strikes === undefined ? {} : { strikes_around: strikes, follow }),
      ...(mode ? { mode } : {}),
      ...(Object.keys(since).length > 0 ? { since } : {}),
    };
    this.hooks.send(
      message,
      (answer) => this.#chainAcknowledged(chain, answer),
      (error) => {
        if (connection === this.#connection) this.#chainFailed(chain, error);
      },
    );
  }

  /**
   * @param {Chain} chain
   * @param {any} answer
   */
  #chainAcknowledged(chain, answer) {
    chain.phase = "live";
    const keys = [...answer.symbols];
    for (const item of answer.rejected) {
      if (item.code === 409) keys.push(item.symbol);
      else this.#emitAll(chain, "rejected", new SymbolError(item.message, item.code, item.symbol));
    }
    chain.values = answer.chain;
    const removed = [...chain.keys.keys()].filter((key) => !keys.includes(key));
    const added = keys.filter((key) => !chain.keys.has(key));
    this.#moveChain(chain, added, removed);
    this.#emitAll(chain, "chain", { type: "chain", ...answer.chain, added, removed });
    this.#due();
  }

  /**
   * @param {Chain} chain
   * @param {import("./errors.js").PriceError} error
   */
  #chainFailed(chain, error) {
    if (error.code === 401) this.hooks.unauthenticated(error);
    if (error.code === 429 || error.code >= 500) {
      chain.phase = "new";
      this.#retryTimer ??= setTimeout(() => {
        this.#retryTimer = undefined;
        this.#due();
      }, RETRY_MS * (1 + Math.random()));
      return;
    }
    chain.phase = "refused";
    this.#emitAll(chain, "rejected", new SymbolError(error.message, error.code, chain.underlying));
  }

  /**
   * @param {Chain} chain
   * @param {string} event
   * @param {unknown} value
   */
  #emitAll(chain, event, value) {
    for (const route of [...chain.routes]) route.subscription.emit(event, value);
  }

  /**
   * @param {Chain} chain
   * @param {string[]} added
   * @param {string[]} removed
   */
  #moveChain(chain, added, removed) {
    for (const key of removed) {
      chain.keys.delete(key);
      const stream = this.#streams.get(key);
      stream?.owners.delete(chain);
      stream?.updateRoutes();
      if (stream) this.#deleteUnowned(stream);
    }
    for (const key of added) {
      const routes = [...chain.routes].map(({ subscription }) => ({ subscription, name: key }));
      chain.keys.set(key, routes);
      this.#ownByChain(chain, key);
      for (const { subscription } of routes) {
        subscription.emit("subscribed", { name: key, key, known: true, suggestions: [] });
      }
    }
  }

  /** @param {Chain} chain @param {string} key */
  #ownByChain(chain, key) {
    const stream = this.#streams.ensure(key);
    // Read when they are needed: the routes of an option change.
    stream.owners.set(chain, { [Symbol.iterator]: () => (chain.keys.get(key) ?? []).values() });
    stream.updateRoutes();
    if (stream.last !== undefined) {
      for (const route of chain.keys.get(key) ?? []) this.#give(stream, route, stream.last);
    }
  }

  /** @param {Chain} chain @param {Route} route */
  #joinChain(chain, route) {
    if (!chain.routes.has(route)) return;
    for (const [key, routes] of chain.keys) {
      if (routes.some((one) => one.subscription === route.subscription)) continue;
      const own = { subscription: route.subscription, name: key };
      chain.keys.set(key, [...routes, own]);
      const stream = this.#streams.ensure(key);
      stream.updateRoutes();
      own.subscription.emit("subscribed", { name: key, key, known: true, suggestions: [] });
      if (stream.last !== undefined) this.#give(stream, own, stream.last);
    }
    if (chain.values) {
      const added = [...chain.keys.keys()];
      route.subscription.emit("chain", { type: "chain", ...chain.values, added, removed: [] });
    }
  }

  /**
   * Forgets a chain; returns the keys that have to be unsubscribed one by one.
   * @param {string} id
   * @param {Chain} chain
   */
  #dropChain(id, chain) {
    this.#chains.delete(id);
    const keys = [...chain.keys.keys()];
    this.#moveChain(chain, [], keys);
    if (!this.#isOpen || chain.phase !== "live") return [];
    if (chain.strikes !== undefined) {
      const { underlying, segment, expiry } = chain.values;
      this.hooks.send({ action: "unsubscribe", underlying, segment, expiry });
      return [];
    }
    return keys.filter((key) => this.#streams.get(key) === undefined);
  }

  // -- from the server ------------------------------------------------------------------------

  /** Takes a price frame. @param {any} tick */
  price(tick) {
    const stream = this.#streams.of(tick);
    if (stream === undefined || !stream.take(tick)) return;
    const { routes } = stream;
    const first = routes[0];
    if (first === undefined) return;
    tick.name = first.name;
    first.subscription.give(stream, tick);
    for (let at = 1; at < routes.length; at += 1) {
      const route = /** @type {Route} */ (routes[at]);
      route.subscription.give(stream, named(tick, route.name));
    }
  }

  /**
   * Takes a frame that has a type; returns whether it was one of subscriptions.
   * @param {any} frame
   */
  frame(frame) {
    switch (frame.type) {
      case "candle":
        this.#candle(frame);
        return true;
      case "candles":
        this.#pastCandles(frame);
        return true;
      case "history":
        this.#pastTicks(frame);
        return true;
      case "resumed":
        this.#resumed(frame);
        return true;
      case "chain":
        this.#chainMoved(frame);
        return true;
      default:
        return false;
    }
  }

  /** @param {any} frame */
  #candle({ type: _, ...candle }) {
    let stream = this.#candles.get(`${candle.interval}\n${candle.key}`);
    // A server that does not say what the names of candles mean.
    stream ??= this.#candleStreamBySymbol(candle.key, candle.interval);
    if (stream === undefined) return;
    stream.last = candle;
    for (const route of stream.routes) this.#give(stream, route, candle);
  }

  /** @param {string} key @param {string} interval */
  #candleStreamBySymbol(key, interval) {
    return this.#candles.get(`${interval}\n${key.slice(key.indexOf(":") + 1)}`);
  }

  /** @param {any} frame */
  #pastCandles({ symbol, key, interval, candles }) {
    const found = [];
    for (const want of this.#wants.values()) {
      if (want.candles && want.name === symbol && want.stream?.interval === interval) {
        this.#attach(want, key, interval);
        found.push(want);
      }
    }
    const values = candles.map((/** @type {any} */ one) => ({ key, interval, ...one }));
    for (const want of found) {
      const { stream, isBack } = want;
      const missed = isBack && stream.last
        ? values.filter((/** @type {any} */ one) => one.start >= stream.last.start) : [];
      const reaches = values.length > 0 && stream.last && values[0].start <= stream.last.start;
      for (const route of want.routes) {
        if (route.wantsHistory) {
          route.wantsHistory = false;
          route.subscription.emit("history", {
            name: route.name,
            candles: values.map((/** @type {any} */ one) => named(one, route.name)),
          });
        } else if (isBack) {
          route.subscription.emit("recovered", {
            symbol: route.name, recovered: Boolean(reaches), ticks: missed.length,
            ...(reaches ? {} : { reason: "the candles of that time could not be read" }),
          });
          for (const candle of missed) this.#give(stream, route, candle);
        }
      }
      want.isBack = false;
      if (values.length > 0) stream.last = values[values.length - 1];
    }
  }

  /** @param {any} frame */
  #pastTicks({ symbol, key, ticks }) {
    const stream = this.#streams.get(key);
    if (stream === undefined) return;
    // Others who had the stream already miss nothing by this.
    const missed = stream.epoch > 0
      ? ticks.filter((/** @type {any} */ one) => one.epoch === stream.epoch && one.seq > stream.seq)
      : [];
    for (const want of this.#wants.values()) {
      if (want.candles || want.stream !== stream) continue;
      for (const route of want.routes) {
        if (want.name === symbol && route.wantsHistory) {
          route.wantsHistory = false;
          const past = ticks.map((/** @type {any} */ one) => named(one, route.name));
          route.subscription.emit("history", { name: route.name, ticks: past });
        } else {
          for (const tick of missed) this.#give(stream, route, tick);
        }
      }
    }
    for (const tick of ticks) stream.take(tick);
  }

  /** @param {any} frame */
  #resumed({ key, recovered, ticks, reason }) {
    const stream = this.#streams.get(key);
    if (stream === undefined) return;
    stream.replaying = recovered ? ticks : 0;
    if (!recovered) stream.unnumbered = [];
    for (const [owner, routes] of stream.owners) {
      const each = /** @type {Want | Chain} */ (owner);
      if (!each.isBack) continue;
      if (!("keys" in each)) each.isBack = false;
      for (const route of routes) {
        route.subscription.emit("recovered", {
          symbol: route.name, recovered, ticks, ...(reason ? { reason } : {}),
        });
      }
    }
  }

  /** @param {any} frame */
  #chainMoved(frame) {
    for (const chain of this.#chains.values()) {
      const values = chain.values;
      if (
        values === null ||
        values.segment !== frame.segment ||
        values.underlying !== frame.underlying ||
        values.expiry !== frame.expiry
      ) continue;
      const { type: _, added, removed, rejected, subscriptions: __, ...now } = frame;
      chain.values = now;
      this.#moveChain(chain, added, removed);
      for (const item of rejected ?? []) {
        this.#emitAll(chain, "rejected", new SymbolError(item.message, item.code, item.symbol));
      }
      this.#emitAll(chain, "chain", frame);
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
    this.#due();
  }

  /** @param {any} stream @param {Route} route @param {any} value */
  #give(stream, route, value) {
    route.subscription.give(stream, named(value, route.name));
  }

  /** Ends all iterations. @param {import("./errors.js").PriceError} [error] */
  end(error) {
    for (const subscription of this.#routes.keys()) subscription.end(error);
  }
}

/** @param {string | undefined} mode */
function richness(mode) {
  return RICHNESS[/** @type {"full"} */ (mode ?? "full")] ?? 3;
}

/** @param {any} value @param {string} name */
function named(value, name) {
  return value.name === name ? value : { ...value, name };
}

/** @param {Want} want */
function historyOf(want) {
  for (const route of want.routes) {
    if (route.wantsHistory) return route.subscription.options.history;
  }
  return undefined;
}
