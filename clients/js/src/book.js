// The book of subscriptions: who gets what the server sends.

import { Chains } from "./chains.js";
import { Names } from "./names.js";
import { Subscription } from "./subscription.js";
import { Wire, named } from "./wire.js";

/** @typedef {import("./streams.js").Route} Route */

export class Book {
  #wire;
  #names;
  #chains;
  /** @type {Map<Subscription, Map<string, Route>>} id of a name or chain -> route */
  #routes = new Map();

  /** @param {import("./wire.js").Hooks} hooks */
  constructor(hooks) {
    this.hooks = hooks;
    this.#wire = new Wire(hooks, () => {
      this.#names.flush();
      this.#chains.ask();
    });
    this.#chains = new Chains(this.#wire);
    this.#names = new Names(this.#wire, this.#chains);
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
    const route = { subscription, name: underlying };
    this.#routes.set(subscription, new Map([[this.#chains.add(route, options), route]]));
    return subscription;
  }

  /**
   * @param {Subscription} subscription
   * @param {string[]} names
   */
  add(subscription, names) {
    const routes = this.#routes.get(subscription);
    for (const name of names) {
      const id = idOf(subscription, name);
      if (routes === undefined || routes.has(id)) continue;
      const route = { subscription, name };
      routes.set(id, route);
      this.#names.add(id, route);
    }
  }

  /**
   * @param {Subscription} subscription
   * @param {string[]} names
   */
  remove(subscription, names) {
    const routes = this.#routes.get(subscription);
    for (const name of names) {
      const id = idOf(subscription, name);
      const route = routes?.get(id);
      if (route === undefined) continue;
      routes?.delete(id);
      this.#names.remove(id, route);
    }
  }

  /** @param {Subscription} subscription */
  removeAll(subscription) {
    const routes = this.#routes.get(subscription);
    this.#routes.delete(subscription);
    for (const [id, route] of routes ?? []) {
      this.#names.remove(id, route);
      this.#chains.remove(id, route);
    }
  }

  /** @param {Subscription} subscription */
  namesOf(subscription) {
    const names = [];
    for (const [id, { name }] of this.#routes.get(subscription) ?? []) {
      const chain = this.#chains.get(id);
      if (chain !== undefined) names.push(...chain.keys.keys());
      else names.push(name);
    }
    return names;
  }

  /** Yields the newest value of each name that has one. @param {Subscription} subscription */
  *newest(subscription) {
    for (const [id, { name }] of this.#routes.get(subscription) ?? []) {
      const stream = this.#names.get(id)?.stream;
      if (stream?.last !== undefined) yield [stream, named(stream.last, name)];
      for (const key of this.#chains.get(id)?.keys.keys() ?? []) {
        const option = this.#wire.streams.get(key);
        if (option?.last !== undefined) yield [option, named(option.last, key)];
      }
    }
  }

  // -- the connection -------------------------------------------------------------------------

  /** It is ready for use. @param {number} [maxBytes] of a message */
  opened(maxBytes) {
    this.#wire.isOpen = true;
    this.#names.opened(maxBytes);
    this.#wire.due();
  }

  /** It was lost: everything is to be asked for again. */
  lost() {
    this.#wire.lost();
    this.#names.lost();
    this.#chains.lost();
  }

  /** Takes a price frame. @param {any} tick */
  price(tick) {
    const stream = this.#wire.streams.of(tick) ?? this.#names.unknown(tick);
    if (stream === undefined) return;
    if (!stream.take(tick)) {
      for (const route of stream.takeAgain(tick)) {
        route.subscription.give(stream, named(tick, route.name));
      }
      return;
    }
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
        this.#names.candle(frame);
        return true;
      case "candles":
        this.#names.pastCandles(frame);
        return true;
      case "history":
        this.#names.pastTicks(frame);
        return true;
      case "resumed":
        this.#resumed(frame);
        return true;
      case "chain":
        this.#chains.moved(frame);
        return true;
      default:
        return false;
    }
  }

  /** @param {any} frame */
  #resumed({ key, recovered, ticks, reason }) {
    const stream = this.#wire.streams.get(key);
    if (stream === undefined) return;
    stream.replaying = recovered ? ticks : 0;
    if (!recovered) stream.unnumbered = [];
    const missed = Math.max(0, ticks - stream.repeated);
    stream.repeated = 0;
    const why = reason ? { reason } : {};
    for (const [owner, routes] of stream.owners) {
      if (!owner.isBack) continue;
      if (!owner.keys) owner.isBack = false; // a chain has other options as well
      for (const { subscription, name } of routes) {
        subscription.emit("recovered", { symbol: name, recovered, ticks: missed, ...why });
      }
    }
  }

  /** @param {string[]} dropped */
  entitlementsChanged(dropped) {
    this.#names.entitlementsChanged(dropped);
  }

  /** Ends all iterations. @param {import("./errors.js").PriceError} [error] */
  end(error) {
    for (const subscription of this.#routes.keys()) subscription.end(error);
  }
}

/**
 * Returns the id of a name as a subscription wants it.
 * @param {Subscription} subscription
 * @param {string} name
 */
function idOf({ options }, name) {
  return `${options.candles ?? ""}\n${options.segment ?? ""}\n${name}`;
}
