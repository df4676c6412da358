// Option chains: the server chooses the options around the money, and says which come and go.

import { SymbolError } from "./errors.js";
import { isForNow, named } from "./wire.js";

/** @typedef {import("./streams.js").Route} Route */

/**
 * An option chain on the wire. Several subscriptions to one share it, with the most strikes.
 * @typedef {object} Chain
 * @property {string} underlying
 * @property {string} segment
 * @property {string | undefined} expiry
 * @property {number | undefined} strikes undefined: all
 * @property {boolean} follow
 * @property {string | undefined} mode
 * @property {Set<Route>} routes
 * @property {"new" | "asked" | "live" | "refused"} phase
 * @property {Map<string, Route[]>} keys instrument key -> routes of that option
 * @property {any} values of the acknowledgement
 * @property {number} connection on which it was acknowledged
 * @property {boolean} isBack whether it is asked for after a loss
 */

export class Chains {
  /** @type {Map<string, Chain>} */
  #chains = new Map();
  #wire;

  /** @param {import("./wire.js").Wire} wire */
  constructor(wire) {
    this.#wire = wire;
  }

  /** @param {string} id */
  get(id) {
    return this.#chains.get(id);
  }

  /**
   * Adds a route to the chain that the options describe; returns the id of the chain.
   * @param {Route} route
   * @param {Record<string, any>} options
   */
  add(route, { expiry, segment = "", strikesAround, follow = false, mode }) {
    const underlying = route.name;
    const id = `chain\n${segment}\n${underlying.toUpperCase()}\n${expiry ?? ""}`;
    const chain = this.#chains.get(id);
    if (chain === undefined) {
      this.#chains.set(id, {
        underlying, segment, expiry, strikes: strikesAround, follow, mode, routes: new Set([route]),
        phase: "new", keys: new Map(), values: null, connection: -1, isBack: false,
      });
      this.#wire.due();
      return id;
    }
    chain.routes.add(route);
    const isWhole = chain.strikes === undefined || strikesAround === undefined;
    const strikes = isWhole ? undefined : Math.max(chain.strikes ?? 0, strikesAround);
    const follows = strikes !== undefined && (chain.follow || follow);
    if (strikes !== chain.strikes || follows !== chain.follow) {
      chain.strikes = strikes;
      chain.follow = follows;
      // One that is under way is compared with what was sent once it is acknowledged.
      if (chain.phase !== "asked") chain.phase = "new";
      this.#wire.due();
    }
    queueMicrotask(() => this.#join(chain, route));
    return id;
  }

  /** @param {string} id @param {Route} route */
  remove(id, route) {
    const chain = this.#chains.get(id);
    if (chain === undefined) return;
    chain.routes.delete(route);
    for (const [key, routes] of chain.keys) {
      chain.keys.set(key, routes.filter((one) => one.subscription !== route.subscription));
      this.#wire.streams.get(key)?.updateRoutes();
    }
    if (chain.routes.size === 0) this.#wire.due();
  }

  // -- to the server --------------------------------------------------------------------------

  lost() {
    for (const [id, chain] of this.#chains) {
      chain.phase = "new";
      chain.isBack = chain.values !== null;
      if (chain.routes.size === 0) this.#drop(id, chain);
    }
  }

  /** Ends the chains that nobody has; returns the keys to be unsubscribed one by one. */
  removeUnwanted() {
    const keys = [];
    for (const [id, chain] of this.#chains) {
      if (chain.routes.size === 0 && chain.phase !== "asked") keys.push(...this.#drop(id, chain));
    }
    return keys;
  }

  /**
   * Lets an option that was named, too, follow the money again: returns whether a chain has it.
   * @param {import("./streams.js").Stream} stream
   */
  takeBack(stream) {
    const owners = [...this.#chains.values()].filter((chain) => stream.owners.has(chain));
    if (owners.length === 0 || owners.length < stream.owners.size) return false;
    for (const chain of owners) if (chain.phase === "live") chain.phase = "new";
    return true;
  }

  ask() {
    for (const chain of this.#chains.values()) if (chain.phase === "new") this.#ask(chain);
  }

  /** @param {Chain} chain */
  #ask(chain) {
    chain.phase = "asked";
    /** @type {Record<string, {epoch: number, seq: number}>} */
    const since = {};
    for (const key of chain.keys.keys()) {
      const stream = this.#wire.streams.get(key);
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
    this.#wire.ask(
      message,
      (answer) => {
        this.#acknowledged(chain, answer);
        if (chain.strikes !== strikes || chain.follow !== follow) chain.phase = "new";
        this.#wire.due();
      },
      (error) => this.#failed(chain, error),
    );
  }

  /** @param {Chain} chain @param {any} answer */
  #acknowledged(chain, answer) {
    chain.phase = "live";
    chain.connection = this.#wire.connection;
    chain.values = answer.chain;
    const keys = new Set(answer.symbols);
    for (const item of answer.rejected) {
      if (item.code === 409) keys.add(item.symbol);
      else this.#emit(chain, "rejected", new SymbolError(item.message, item.code, item.symbol));
    }
    const removed = [...chain.keys.keys()].filter((key) => !keys.has(key));
    const added = [...keys].filter((key) => !chain.keys.has(key));
    this.#move(chain, added, removed);
    this.#emit(chain, "chain", { type: "chain", ...answer.chain, added, removed });
  }

  /** @param {Chain} chain @param {import("./errors.js").PriceError} error */
  #failed(chain, error) {
    if (isForNow(error.code)) {
      chain.phase = "new";
      this.#wire.retry();
      return;
    }
    chain.phase = "refused";
    this.#emit(chain, "rejected", new SymbolError(error.message, error.code, chain.underlying));
    if (chain.routes.size === 0) this.#wire.due();
  }

  /**
   * Forgets a chain; returns the keys to be unsubscribed one by one.
   * @param {string} id
   * @param {Chain} chain
   */
  #drop(id, chain) {
    this.#chains.delete(id);
    const { values } = chain;
    const keys = [...chain.keys.keys()];
    this.#move(chain, [], keys);
    if (!this.#wire.isOpen || chain.connection !== this.#wire.connection) return [];
    const left = keys.filter((key) => this.#wire.streams.get(key) === undefined);
    if (chain.strikes === undefined) return left;
    // Under another name of the underlying, or of the expiry, it may be somebody else's as well.
    if (![...this.#chains.values()].some((one) => isSame(one.values, values))) {
      const { underlying, segment, expiry } = values;
      this.#wire.leave({ action: "unsubscribe", underlying, segment, expiry }, left);
    }
    return [];
  }

  // -- from the server ------------------------------------------------------------------------

  /** The money of a chain moved. @param {any} frame */
  moved(frame) {
    for (const chain of this.#chains.values()) {
      if (!isSame(chain.values, frame)) continue;
      const { type: _, added, removed, rejected = [], subscriptions: __, ...now } = frame;
      chain.values = now;
      this.#move(chain, added, removed);
      for (const item of rejected) {
        this.#emit(chain, "rejected", new SymbolError(item.message, item.code, item.symbol));
      }
      this.#emit(chain, "chain", frame);
    }
  }

  // -- routes ---------------------------------------------------------------------------------

  /**
   * @param {Chain} chain
   * @param {string} event
   * @param {unknown} value
   */
  #emit(chain, event, value) {
    for (const route of [...chain.routes]) route.subscription.emit(event, value);
  }

  /**
   * @param {Chain} chain
   * @param {string[]} added
   * @param {string[]} removed
   */
  #move(chain, added, removed) {
    const { streams } = this.#wire;
    for (const key of removed) {
      chain.keys.delete(key);
      streams.disown(streams.get(key), chain);
    }
    for (const key of added) {
      chain.keys.set(key, []);
      const stream = streams.ensure(key);
      // Read when they are needed: the routes of an option change.
      stream.owners.set(chain, { [Symbol.iterator]: () => (chain.keys.get(key) ?? []).values() });
      for (const route of chain.routes) this.#give(chain, key, route);
    }
  }

  /** Gives an option to one more subscription, with its newest price.
   * @param {Chain} chain
   * @param {string} key
   * @param {Route} route of the chain
   */
  #give(chain, key, { subscription }) {
    const routes = chain.keys.get(key) ?? [];
    if (routes.some((one) => one.subscription === subscription)) return;
    chain.keys.set(key, [...routes, { subscription, name: key }]);
    const stream = this.#wire.streams.ensure(key);
    stream.updateRoutes();
    subscription.emit("subscribed", { name: key, key, known: true, suggestions: [] });
    if (stream.last !== undefined) subscription.give(stream, named(stream.last, key));
  }

  /** @param {Chain} chain @param {Route} route */
  #join(chain, route) {
    if (!chain.routes.has(route)) return;
    for (const key of chain.keys.keys()) this.#give(chain, key, route);
    if (chain.values !== null) {
      const frame = { type: "chain", ...chain.values, added: [...chain.keys.keys()], removed: [] };
      route.subscription.emit("chain", frame);
    }
  }
}

/** Whether two frames are about the same chain. @param {any} one @param {any} other */
function isSame(one, other) {
  return (
    one !== null &&
    other !== null &&
    one.segment === other.segment &&
    one.underlying === other.underlying &&
    one.expiry === other.expiry
  );
}
