// Streams: where the prices of an instrument go, and up to which tick they were given.

/**
 * One user's interest in a stream: the subscription, and the name that it used.
 * @typedef {{subscription: import("./subscription.js").Subscription, name: string}} Route
 */

/** What goes to routes, of its owners: names and option chains that want it. */
class Routed {
  /** The newest value, for subscriptions that join later. @type {any} */
  last = undefined;
  /** Where its values go. @type {Route[]} */
  routes = [];
  /** Owner -> its routes. @type {Map<any, Iterable<Route>>} */
  owners = new Map();

  updateRoutes() {
    /** @type {Route[]} */
    const routes = [];
    for (const each of this.owners.values()) routes.push(...each);
    this.routes = routes;
  }
}

/** The candles of one instrument and interval. */
export class CandleStream extends Routed {
  /** @param {string} key @param {string} interval */
  constructor(key, interval) {
    super();
    this.key = key;
    this.interval = interval;
  }
}

/** The prices of one instrument on the client's connection. */
export class Stream extends Routed {
  epoch = 0;
  seq = 0;
  /** Missed ticks that have yet to come after a loss. */
  replaying = 0;
  /** Routes that wait for the newest price once more, in a richer mode. @type {Set<Route>} */
  waiting = new Set();
  /** Whether what comes is in the mode that they wait for. */
  isRicher = false;
  /** How many ticks that were given come once more with the missed ones: 1 if a route waits. */
  repeated = 0;
  /** Prices shown before they got a number. @type {any[]} */
  unnumbered = [];
  /** Another instrument with the same symbol. @type {Stream | undefined} */
  next = undefined;

  /**
   * @param {string} key
   * @param {string} segment
   * @param {string} symbol
   */
  constructor(key, segment, symbol) {
    super();
    this.key = key;
    this.segment = segment;
    this.symbol = symbol;
  }

  /**
   * Returns whether a tick is new; it then counts as given. After a loss the server may send what
   * came before it once more.
   * @param {any} tick
   */
  take(tick) {
    const seq = tick.seq;
    if (seq !== undefined) {
      const epoch = tick.epoch;
      if (epoch === 0) {
        if (this.unnumbered.length < 16) this.unnumbered.push(tick);
      } else {
        if (epoch === this.epoch && seq <= this.seq) {
          if (this.replaying > 0) this.replaying -= 1;
          return false;
        }
        this.epoch = epoch;
        this.seq = seq;
        if (this.replaying > 0) {
          this.replaying -= 1;
          if (this.#wasShown(tick)) return false;
        } else if (this.unnumbered.length > 0) {
          this.unnumbered = [];
        }
      }
    }
    this.last = tick;
    if (this.isRicher) this.#endWaiting();
    return true;
  }

  /**
   * Takes the newest price once more, in a richer mode; returns the routes that wait for it.
   * @param {any} tick
   * @returns {Route[]}
   */
  takeAgain(tick) {
    if (!this.isRicher || tick.epoch !== this.epoch || tick.seq !== this.seq) return [];
    this.last = tick;
    const routes = this.routes.filter((route) => this.waiting.has(route));
    this.#endWaiting();
    return routes;
  }

  #endWaiting() {
    this.isRicher = false;
    this.waiting.clear();
  }

  /** @param {any} tick */
  #wasShown(tick) {
    const at = this.unnumbered.findIndex(
      (one) => one.timestamp === tick.timestamp && one.price === tick.price,
    );
    if (at >= 0) this.unnumbered.splice(0, at + 1);
    return at >= 0;
  }
}

/** The streams of a connection, by instrument key and by what a price frame says. */
export class Streams {
  /** @type {Map<string, Stream>} */
  #byKey = new Map();
  // A frame has symbol and segment: most symbols are in one segment, so no key has to be made.
  /** @type {Map<string, Stream>} */
  #bySymbol = new Map();

  /** @param {string} key */
  get(key) {
    return this.#byKey.get(key);
  }

  values() {
    return this.#byKey.values();
  }

  /** Returns the stream of a key, and makes it if there is none. @param {string} key */
  ensure(key) {
    let stream = this.#byKey.get(key);
    if (stream === undefined) {
      const colon = key.indexOf(":");
      stream = new Stream(key, colon < 0 ? "" : key.slice(0, colon), key.slice(colon + 1));
      this.#byKey.set(key, stream);
      this.#link(stream);
    }
    return stream;
  }

  /** @param {Stream} stream */
  #link(stream) {
    stream.next = this.#bySymbol.get(stream.symbol);
    this.#bySymbol.set(stream.symbol, stream);
  }

  /** Takes a stream from an owner; one without any is forgotten.
   * @param {Stream | undefined} stream
   * @param {object} owner
   */
  disown(stream, owner) {
    if (stream === undefined) return;
    stream.owners.delete(owner);
    stream.updateRoutes();
    if (stream.owners.size === 0) this.delete(stream);
  }

  /** @param {Stream} stream */
  delete(stream) {
    this.#byKey.delete(stream.key);
    let before;
    let one = this.#bySymbol.get(stream.symbol);
    while (one !== undefined && one !== stream) [before, one] = [one, one.next];
    if (one === undefined) return;
    if (before !== undefined) before.next = stream.next;
    else if (stream.next !== undefined) this.#bySymbol.set(stream.symbol, stream.next);
    else this.#bySymbol.delete(stream.symbol);
  }

  /**
   * Returns the stream of a price.
   * @param {any} tick
   * @returns {Stream | undefined}
   */
  of(tick) {
    let stream = this.#bySymbol.get(tick.symbol);
    const segment = tick.segment ?? "";
    while (stream !== undefined && stream.segment !== segment) stream = stream.next;
    // A symbol without a segment may have a colon in it.
    return stream ?? this.#byKey.get(segment ? `${segment}:${tick.symbol}` : tick.symbol);
  }
}
