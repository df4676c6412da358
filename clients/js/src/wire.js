// What names and option chains share: the streams, the way to the server, and when to go it.

import { Streams } from "./streams.js";

const RETRY_MS = 1000;

/** @typedef {import("./errors.js").PriceError} PriceError */

/**
 * @typedef {object} Hooks
 * @property {(message: any, answered?: (answer: any) => void, failed?: (error: PriceError) => void)
 *   => void} send
 * @property {(count: number) => void} skipped an iteration left out values
 * @property {(buffer: object) => void} full an iteration over every tick is not read
 * @property {(buffer: object) => void} room it has been read
 * @property {(error: PriceError) => void} unauthenticated
 */

export class Wire {
  streams = new Streams();
  isOpen = false;
  /** Counts connections: what was acknowledged on an older one is over. */
  connection = 0;
  /** Instruments that are being unsubscribed: their last prices may be on their way. @type {Set<string>} */
  leaving = new Set();
  #isDue = false;
  /** @type {any} */
  #retryTimer = undefined;
  #flush;

  /**
   * @param {Hooks} hooks
   * @param {() => void} flush sends what is to be sent
   */
  constructor(hooks, flush) {
    this.hooks = hooks;
    this.#flush = flush;
  }

  lost() {
    this.isOpen = false;
    this.connection += 1;
    this.leaving.clear();
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
  }

  /** Lets what changed be sent; what changes in one go takes few messages. */
  due() {
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      if (this.isOpen) this.#flush();
    });
  }

  /** Lets what is left be sent in a moment. */
  retry() {
    this.#retryTimer ??= setTimeout(() => {
      this.#retryTimer = undefined;
      this.due();
    }, RETRY_MS * (1 + Math.random()));
  }

  /**
   * Sends a subscription. An error of a connection that is lost is none: all is asked for again.
   * @param {any} message
   * @param {(answer: any) => void} answered
   * @param {(error: PriceError) => void} failed
   */
  ask(message, answered, failed) {
    const { connection } = this;
    this.hooks.send(message, answered, (error) => {
      if (connection !== this.connection) return;
      if (error.code === 401) this.hooks.unauthenticated(error);
      failed(error);
    });
  }

  /**
   * Unsubscribes; prices of these instruments that are on their way belong to nobody.
   * @param {any} message
   * @param {Iterable<string>} keys
   */
  leave(message, keys) {
    const { connection } = this;
    const left = [...keys];
    for (const key of left) this.leaving.add(key);
    const over = () => {
      if (connection === this.connection) for (const key of left) this.leaving.delete(key);
    };
    this.hooks.send(message, over, over);
  }
}

/** Whether the server may carry out the same request later. @param {number} code */
export function isForNow(code) {
  return code === 429 || (code >= 500 && code < 600);
}

/**
 * Returns a value as a subscription gets it, under its own name.
 * @param {any} value
 * @param {string} name
 */
export function named(value, name) {
  return value.name === name ? value : { ...value, name };
}
