// The client of /live-price: one connection with any number of subscriptions.

import { Book } from "./book.js";
import { AuthenticationError, ConnectionError, PriceError, errorOf } from "./errors.js";
import { Handlers } from "./events.js";
import { Link } from "./link.js";
import { parseExactFrame } from "./numbers.js";
import { Requests } from "./requests.js";
import { checkedNames } from "./subscription.js";

const EVENTS = [
  "state", "feed", "conflated", "reconnect", "error", "authenticated", "entitlements", "market_status", "frame",
];
// Tokens refused in a row, each new from the callback, after which the client gives up.
const MAX_REFUSED_TOKENS = 3;
const RENEW_AGAIN_MS = 5000;
const MAX_WAITING = 1000;
const MAX_RESUME_TRIES = 5;

export class PriceClient {
  #handlers = new Handlers(EVENTS);
  #link;
  #requests;
  #book;
  #parse;
  #options;
  /** What every new connection is configured with. @type {Record<string, unknown>} */
  #settings = { batch: true };
  /** Requests made while the connection was not open. @type {(() => void)[]} */
  #waiting = [];
  /** What ends them if the client is closed. @type {((error: Error) => void)[]} */
  #rejects = [];
  /** @type {number | undefined} */
  #maxMessageBytes = undefined;
  /** @type {string | null} */
  #token = null;
  #refusedTokens = 0;
  /** Connections ended in a row because the server could not read the missed ticks. */
  #resumeTries = 0;
  #resumesLater = false;
  /** @type {any} */
  #renewTimer = undefined;
  /** Iterations that must be read before the next connection. @type {Set<object>} */
  #full = new Set();
  /** @type {import("./live-price.js").Feed | null} */
  feed = null;
  /** @type {number | null} */
  clockOffsetMs = null;
  /** @type {number | null} */
  latencyMs = null;

  /**
   * @param {string} url
   * @param {import("./live-price.js").ClientOptions} [options]
   */
  constructor(url, options = {}) {
    const WebSocket = /** @type {any} */ (options.WebSocket ?? globalThis.WebSocket);
    if (WebSocket === undefined) {
      throw new TypeError("this engine has no WebSocket: pass a class as options.WebSocket");
    }
    const address = socketAddress(url);
    this.#options = options;
    this.#parse = options.exact ? parseExactFrame : JSON.parse;
    this.#requests = new Requests((text) => this.#link.send(text));
    this.#book = new Book({
      send: (message, answered = ignore, failed = ignore) =>
        this.#requests.post(message, answered, failed),
      skipped: (count) => this.#handlers.call("conflated", { skipped: count }),
      full: (buffer) => this.#pause(buffer),
      room: (buffer) => this.#resume(buffer),
      unauthenticated: (error) => this.#unauthenticated(error),
    });
    this.#link = new Link(
      {
        address: () => this.#address(address),
        opened: () => void this.#opened(),
        received: (text) => this.#received(text),
        lost: (error) => this.#lost(error),
        changed: () => this.#changed(),
        probe: () => void this.ping().catch(() => {}),
      },
      {
        WebSocket,
        silenceMs: options.silenceMs ?? 30_000,
        minBackoffMs: options.minBackoffMs ?? 100,
        maxBackoffMs: options.maxBackoffMs ?? 20_000,
      },
    );
  }

  get state() {
    return this.#link.state;
  }

  get lastFrameAt() {
    return this.#link.lastFrameAt;
  }

  /**
   * @param {string} event
   * @param {(value: any) => void} handler
   */
  on(event, handler) {
    return this.#handlers.add(event, handler);
  }

  /**
   * @param {string | string[]} names
   * @param {import("./live-price.js").SubscribeOptions} [options]
   */
  subscribe(names, options = {}) {
    const list = checkedNames(names);
    if (options.intervalMs !== undefined) {
      this.configure({ intervalMs: options.intervalMs }).catch((error) =>
        this.#handlers.call("error", error),
      );
    }
    return this.#book.subscribe(list, options);
  }

  /**
   * @param {string} underlying
   * @param {import("./live-price.js").OptionChainOptions} [options]
   */
  subscribeOptionChain(underlying, options = {}) {
    if (typeof underlying !== "string" || underlying === "") {
      throw new TypeError("an option chain is that of an underlying");
    }
    return this.#book.subscribeChain(underlying, options);
  }

  /** @param {{action: string, [key: string]: unknown}} message */
  request(message) {
    return this.#whenOpen(() => this.#requests.call(message));
  }

  /** @param {{mode?: string, intervalMs?: number, batch?: boolean}} settings */
  async configure({ mode, intervalMs, batch }) {
    const changes = {
      ...(mode === undefined ? {} : { mode }),
      ...(intervalMs === undefined ? {} : { interval_ms: intervalMs }),
      ...(batch === undefined ? {} : { batch }),
    };
    const before = this.#settings;
    this.#settings = { ...before, ...changes };
    // A new connection is configured before it counts as open.
    if (this.state !== "open") return;
    try {
      await this.#requests.call({ action: "configure", ...changes });
    } catch (error) {
      if (!(error instanceof ConnectionError)) {
        this.#settings = before;
        throw error;
      }
    }
  }

  /** @param {string} [segment] */
  async marketStatus(segment) {
    const message = { action: "market_status", ...(segment ? { segment } : {}) };
    const frames = await this.#whenOpen(() => this.#requests.call(message, { many: true }));
    return frames.map(statusOf);
  }

  async ping() {
    const sentAt = performance.now();
    const answer = await this.#whenOpen(() => this.#requests.call({ action: "ping" }));
    const took = performance.now() - sentAt;
    this.latencyMs = took;
    this.clockOffsetMs = answer.timestamp - (Date.now() - took / 2);
    return took;
  }

  connect() {
    if (this.#full.size > 0) return; // an iteration over every tick has to be read first
    this.#refusedTokens = 0;
    this.#link.connect();
  }

  close() {
    this.#link.close();
  }

  // -- the connection -------------------------------------------------------------------------

  /** @param {string} address */
  async #address(address) {
    const { token, ticket } = this.#options;
    if (ticket !== undefined) {
      const withTicket = new URL(address);
      withTicket.searchParams.set("ticket", await ticket());
      return withTicket.href;
    }
    this.#token = (typeof token === "function" ? await token() : token) ?? null;
    return address;
  }

  async #opened() {
    try {
      if (this.#token !== null) {
        await this.#requests.call({ action: "authenticate", token: this.#token });
      }
      const configured = this.#requests.call({ action: "configure", ...this.#settings });
      // An older setting must not keep the client from its prices.
      configured.catch((error) => {
        if (error.code === 401) this.#unauthenticated(error);
        else if (!(error instanceof ConnectionError)) this.#handlers.call("error", error);
      });
    } catch (error) {
      this.#notAuthenticated(/** @type {PriceError} */ (error));
      return;
    }
    this.#link.ready();
    this.#book.opened(this.#maxMessageBytes);
    for (const send of this.#waiting.splice(0)) send();
    this.ping().catch(() => {});
  }

  /** The server wants a token, and there is none to send. @param {PriceError} error */
  #unauthenticated(error) {
    if (this.#token === null && this.#options.ticket === undefined) this.#giveUp(error);
  }

  /** A token was refused on a new connection. @param {PriceError} error */
  #notAuthenticated(error) {
    if (error instanceof ConnectionError) return; // lost: the link goes on by itself
    if (error.code === 402) {
      this.#refusedTokens += 1;
      const isConstant = typeof this.#options.token !== "function";
      if (isConstant || this.#refusedTokens >= MAX_REFUSED_TOKENS) {
        this.#giveUp(error);
        return;
      }
    }
    this.#link.drop(error);
  }

  /** @param {PriceError} error */
  #giveUp(error) {
    this.#link.close(error);
  }

  /** @param {PriceError} error */
  #lost(error) {
    clearTimeout(this.#renewTimer);
    if (this.state === "open" && !this.#resumesLater) this.#resumeTries = 0;
    this.#resumesLater = false;
    this.#book.lost();
    this.#requests.fail(new ConnectionError(error.message, error.code));
    this.#maxMessageBytes = undefined;
    if (error.code === 4407 && this.#token === null) {
      queueMicrotask(() => this.#giveUp(error));
    } else if (error.code === 401 && error instanceof AuthenticationError) {
      // HTTP 401 of the handshake: a ticket was refused.
      this.#refusedTokens += 1;
      if (this.#refusedTokens >= MAX_REFUSED_TOKENS) queueMicrotask(() => this.#giveUp(error));
    }
  }

  #changed() {
    const { state, retryAt, error } = this.#link;
    if (state === "closed") {
      const ended = error ?? new ConnectionError("the client is closed", 1000);
      this.#waiting = [];
      for (const reject of this.#rejects.splice(0)) reject(ended);
      this.#book.end(error);
    }
    this.#handlers.call("state", {
      state,
      ...(retryAt === undefined ? {} : { retryAt }),
      ...((state === "waiting" || state === "closed") && error ? { error } : {}),
    });
  }

  /**
   * @template T
   * @param {() => Promise<T>} call
   * @returns {Promise<T>}
   */
  #whenOpen(call) {
    if (this.state === "open") return call();
    if (this.state === "closed") {
      return Promise.reject(this.#link.error ?? new ConnectionError("the client is closed", 1000));
    }
    if (this.#waiting.length >= MAX_WAITING) {
      return Promise.reject(errorOf(429, "too many requests wait for a connection"));
    }
    return new Promise((resolve, reject) => {
      this.#rejects.push(reject);
      this.#waiting.push(() => {
        this.#rejects = this.#rejects.filter((one) => one !== reject);
        call().then(resolve, reject);
      });
    });
  }

  // -- an iteration that wants every tick and is not read ---------------------------------------

  /** @param {object} buffer */
  #pause(buffer) {
    this.#full.add(buffer);
    this.#link.pause(
      new ConnectionError("every tick is wanted, and they are not read fast enough", 4410),
    );
  }

  /** @param {object} buffer */
  #resume(buffer) {
    if (!this.#full.delete(buffer) || this.#full.size > 0) return;
    if (this.state === "waiting") this.#link.connect();
  }

  // -- frames ---------------------------------------------------------------------------------

  /** @param {string} text */
  #received(text) {
    const frame = this.#read(text);
    if (frame === null) return;
    const handlers = this.#handlers.of("frame");
    if (handlers.length > 0) this.#handlers.call("frame", frame);
    if (frame.type === undefined) {
      if (Array.isArray(frame)) {
        for (const one of frame) {
          if (one.type === undefined) this.#book.price(one);
          else this.#control(one); // a candle
          if (this.#full.size > 0) return; // the rest comes again
        }
      } else {
        this.#book.price(frame);
      }
      return;
    }
    this.#control(frame);
  }

  /** @param {string} text */
  #read(text) {
    try {
      const frame = this.#parse(text);
      if (typeof frame === "object" && frame !== null) return frame;
    } catch {
      // Reported below.
    }
    const start = text.slice(0, 75);
    this.#handlers.call("error", new PriceError(`a frame must be a JSON object, got '${start}'`, 1007));
    return null;
  }

  /** @param {any} frame */
  #control(frame) {
    if (frame.feed !== undefined && frame.feed !== this.feed) {
      this.feed = frame.feed;
      this.#handlers.call("feed", frame.feed);
    }
    if (frame.type === "authenticated") this.#authenticated(frame);
    if (frame.type === "resumed" && frame.retry && this.#resumeTries < MAX_RESUME_TRIES) {
      this.#resumeLater(frame.reason);
      return;
    }
    if (frame.id !== undefined && this.#requests.take(frame)) return;
    if (this.#book.frame(frame)) return;
    switch (frame.type) {
      case "conflated":
        this.#handlers.call("conflated", { skipped: frame.skipped });
        break;
      case "reconnect":
        this.#link.move(frame.after_ms);
        this.#handlers.call("reconnect", { afterMs: frame.after_ms });
        break;
      case "market_status":
        this.#handlers.call("market_status", statusOf(frame));
        break;
      case "status":
        this.#status(frame);
        break;
      case "error":
        this.#handlers.call("error", errorOf(frame.code, frame.message));
        break;
    }
  }

  // The position is still that of before: the next connection may bring the missed ticks.
  /** @param {string} reason */
  #resumeLater(reason) {
    this.#resumeTries += 1;
    this.#resumesLater = true;
    this.#link.drop(new ConnectionError(reason, 1013));
  }

  /** @param {any} frame */
  #authenticated({ user, expires, segments, delayed = {}, limits }) {
    this.#refusedTokens = 0;
    this.#requests.limit(limits?.max_messages_per_s);
    this.#maxMessageBytes = limits?.max_message_bytes;
    this.#handlers.call("authenticated", { user, expires, segments, delayed });
  }

  /** @param {any} frame */
  #status(frame) {
    if (frame.status === "token_expiring") {
      void this.#renew();
    } else if (frame.status === "entitlements_changed") {
      const { segments, delayed = {}, dropped } = frame;
      this.#book.entitlementsChanged(dropped);
      this.#handlers.call("entitlements", { segments, delayed, dropped });
    }
  }

  // The token ends within a minute: the open connection gets the next one, and no price is lost.
  async #renew() {
    const { token } = this.#options;
    if (typeof token !== "function" || this.state !== "open") return;
    try {
      const next = await token();
      if (this.state !== "open") return;
      if (next && next !== this.#token) {
        await this.#requests.call({ action: "authenticate", token: next });
        this.#token = next;
        return;
      }
    } catch (error) {
      if (error instanceof ConnectionError) return;
      this.#handlers.call("error", tokenError(error));
      if (error instanceof PriceError && error.code === 402 && ++this.#refusedTokens > 1) return;
    }
    clearTimeout(this.#renewTimer);
    this.#renewTimer = setTimeout(() => void this.#renew(), RENEW_AGAIN_MS);
  }
}

function ignore() {}

/** @param {unknown} error */
function tokenError(error) {
  if (error instanceof PriceError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new AuthenticationError(`the token callback failed: ${text}`, 401);
}

/** @param {any} frame */
function statusOf({ type: _, id: __, ...status }) {
  return status;
}

/**
 * Returns the address of the WebSocket: of `http://host`, of a path of this page's server, ...
 * @param {string} url
 */
export function socketAddress(url) {
  const base = globalThis.location?.href;
  let address;
  try {
    address = base?.startsWith("http") ? new URL(url, base) : new URL(url);
  } catch {
    throw new TypeError(`a URL is written as ws://host:5000/live-price, got '${url}'`);
  }
  const { protocol } = address;
  if (protocol === "http:") address.protocol = "ws:";
  else if (protocol === "https:") address.protocol = "wss:";
  else if (protocol !== "ws:" && protocol !== "wss:") {
    throw new TypeError(`a URL begins with ws, wss, http or https, got '${url}'`);
  }
  if (address.pathname === "/") address.pathname = "/live-price";
  address.hash = "";
  return address.href;
}
