// What a user holds of some symbols: handlers, names, and an iteration in bounded memory.

import { Buffer } from "./buffer.js";
import { Handlers, report } from "./events.js";

const EVENTS = ["price", "candle", "history", "subscribed", "rejected", "recovered", "chain"];

/**
 * @param {unknown} names
 * @returns {string[]}
 */
export function checkedNames(names) {
  const list = typeof names === "string" ? [names] : names;
  if (!Array.isArray(list) || list.some((name) => typeof name !== "string" || name === "")) {
    throw new TypeError("symbols are a name or an array of names");
  }
  return [...new Set(list)];
}

export class Subscription {
  #handlers = new Handlers(EVENTS);
  /** @type {Set<Buffer>} */
  #buffers = new Set();
  #book;

  /**
   * @param {import("./book.js").Book} book
   * @param {Record<string, any>} options
   */
  constructor(book, options) {
    this.#book = book;
    this.options = options;
    this.isClosed = false;
    /** Called for each price or candle. @type {((value: any) => void)[]} */
    this.takers = [];
  }

  get names() {
    return this.#book.namesOf(this);
  }

  /**
   * @param {string} event
   * @param {(value: any) => void} handler
   */
  on(event, handler) {
    const remove = this.#handlers.add(event, handler);
    this.#update();
    return () => {
      remove();
      this.#update();
    };
  }

  #update() {
    this.takers = this.#handlers.of(this.options.candles ? "candle" : "price");
  }

  /** @param {string | string[]} names */
  add(names) {
    if (this.isClosed) throw new TypeError("the subscription is closed");
    this.#book.add(this, checkedNames(names));
  }

  /** @param {string | string[]} names */
  remove(names) {
    this.#book.remove(this, checkedNames(names));
  }

  close() {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#book.removeAll(this);
    this.end();
  }

  // -- from the client ------------------------------------------------------------------------

  /**
   * Gives a price or candle to handlers and iterations.
   * @param {unknown} key of what newer values replace
   * @param {any} value
   */
  give(key, value) {
    for (const take of this.takers) {
      try {
        take(value);
      } catch (error) {
        report(error);
      }
    }
    if (this.#buffers.size > 0) for (const buffer of this.#buffers) buffer.put(key, value);
  }

  /**
   * @param {string} event
   * @param {unknown} value
   */
  emit(event, value) {
    this.#handlers.call(event, value);
  }

  /** Ends iterations. @param {import("./errors.js").PriceError} [error] */
  end(error) {
    for (const buffer of this.#buffers) buffer.end(error);
    this.#buffers.clear();
  }

  [Symbol.asyncIterator]() {
    const buffer = new Buffer({
      onSkipped: (count) => this.#book.hooks.skipped(count),
      onFull: () => this.#book.hooks.full(buffer),
      onRoom: () => this.#book.hooks.room(buffer),
      onEnd: () => this.#buffers.delete(buffer),
      everyTick: () => this.options.conflate === false,
    });
    if (this.isClosed) buffer.end();
    else {
      this.#buffers.add(buffer);
      // Prices that came before the iteration began.
      buffer.fill(this.#book.newest(this));
    }
    return {
      next: () => buffer.next(),
      /** @returns {Promise<IteratorReturnResult<undefined>>} */
      return: () => {
        buffer.leave();
        return Promise.resolve({ value: undefined, done: true });
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }
}
