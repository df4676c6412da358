// What a `for await` has yet to read, in bounded memory.

import { PriceError } from "./errors.js";

const MOST_VALUES = 1000;

/**
 * The values of one iteration over a subscription.
 *
 * Up to 1,000 values wait in order. When the consumer is slower than that, only the newest of each
 * symbol is kept, as the server does for a slow client, and `skipped` counts the others. Where every
 * tick is wanted nothing is left out: `onFull` is called, and no more may be put until `onRoom` is.
 */
export class Buffer {
  /** @type {any[]} */
  #values = [];
  #begin = 0; // of what was not read
  /** Newest value by symbol, once it is full. @type {Map<unknown, any> | null} */
  #newest = null;
  /** @type {{resolve: (result: IteratorResult<any>) => void, reject: (error: Error) => void}[]} */
  #readers = [];
  /** @type {PriceError | null | undefined} undefined: not ended */
  #end = undefined;
  #isFull = false;
  #most = MOST_VALUES;
  #hooks;

  /**
   * @param {{onSkipped: (count: number) => void, onFull: () => void, onRoom: () => void,
   *          onEnd: () => void, everyTick: () => boolean}} hooks
   */
  constructor(hooks) {
    this.#hooks = hooks;
  }

  /** Puts what there is at the beginning; it does not count. @param {Iterable<unknown[]>} entries */
  fill(entries) {
    for (const [key, value] of entries) {
      this.#most += 1;
      this.put(key, value);
    }
  }

  get size() {
    return this.#newest ? this.#newest.size : this.#values.length - this.#begin;
  }

  /**
   * @param {unknown} key newer values replace older ones of the same key
   * @param {any} value
   */
  put(key, value) {
    if (this.#end !== undefined) return;
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      reader.resolve({ value, done: false });
      return;
    }
    if (this.#newest !== null) {
      if (this.#newest.delete(key)) this.#hooks.onSkipped(1);
      this.#newest.set(key, value);
      return;
    }
    this.#values.push({ key, value });
    if (this.size < this.#most) return;
    if (this.#hooks.everyTick()) {
      if (!this.#isFull) {
        this.#isFull = true;
        this.#hooks.onFull();
      }
      return;
    }
    const count = this.size;
    this.#newest = new Map();
    for (const one of this.#values.splice(0).slice(this.#begin)) {
      this.#newest.delete(one.key);
      this.#newest.set(one.key, one.value);
    }
    this.#begin = 0;
    if (count > this.#newest.size) this.#hooks.onSkipped(count - this.#newest.size);
  }

  /** @returns {Promise<IteratorResult<any>>} */
  next() {
    if (this.size > 0) return Promise.resolve({ value: this.#take(), done: false });
    if (this.#end === undefined) {
      return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
    }
    const error = this.#end;
    this.#end = null;
    return error ? Promise.reject(error) : Promise.resolve({ value: undefined, done: true });
  }

  #take() {
    if (this.#newest !== null) {
      const [key, value] = /** @type {[unknown, any]} */ (this.#newest.entries().next().value);
      this.#newest.delete(key);
      if (this.#newest.size === 0) this.#newest = null;
      return value;
    }
    const { value } = this.#values[this.#begin];
    this.#values[this.#begin] = undefined;
    this.#begin += 1;
    if (this.#begin * 2 > this.#values.length) {
      this.#values.splice(0, this.#begin);
      this.#begin = 0;
    }
    if (this.#isFull && this.size <= MOST_VALUES / 2) {
      this.#isFull = false;
      this.#hooks.onRoom();
    }
    return value;
  }

  /**
   * Ends the iteration behind what waits.
   * @param {PriceError} [error]
   */
  end(error) {
    if (this.#end !== undefined) return;
    this.#end = error ?? null;
    for (const { resolve, reject } of this.#readers.splice(0)) {
      if (!this.#end) resolve({ value: undefined, done: true });
      else {
        reject(this.#end);
        this.#end = null; // an error is thrown once
      }
    }
  }

  /** Ends the iteration, and drops what waits: the consumer has left its loop. */
  leave() {
    const wasFull = this.#isFull;
    this.#end = null;
    this.#values = [];
    this.#begin = 0;
    this.#newest = null;
    this.#isFull = false;
    if (wasFull) this.#hooks.onRoom();
    this.#hooks.onEnd();
  }
}
