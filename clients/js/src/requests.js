// Requests and their answers on one connection, no faster than the server takes messages.

import { ConnectionError, errorOf } from "./errors.js";

// The server takes 50 messages a second on average, and 200 at once.
const RATE_PER_S = 40;
const BURST = 100;
const MAX_WAITING = 1000;

/** @typedef {import("./errors.js").PriceError} PriceError */

/**
 * @typedef {object} Pending
 * @property {(answer: any) => void} resolve
 * @property {(error: PriceError) => void} reject
 * @property {any[]} frames frames before the last that answer the same request
 * @property {boolean} isMany whether the pong behind the frames ends them
 */

export class Requests {
  /** @type {Map<number | string, Pending>} */
  #pending = new Map();
  #lastId = 0;
  #tokens = BURST;
  #rate = RATE_PER_S;
  #refilledAt = performance.now();
  /** Texts that wait until the rate allows them. @type {string[]} */
  #waiting = [];
  /** @type {any} */
  #timer = undefined;
  /** @type {(text: string) => void} */
  #send;

  /** @param {(text: string) => void} send */
  constructor(send) {
    this.#send = send;
  }

  /** Holds to a lower rate, as the server told it. @param {number | undefined} perSecond */
  limit(perSecond) {
    if (typeof perSecond === "number" && perSecond > 0) {
      this.#rate = Math.min(RATE_PER_S, perSecond * 0.8);
      this.#tokens = Math.min(this.#tokens, this.#rate * 3);
    }
  }

  /**
   * Sends a request. Its answer is the frame with the same id, or with `many` all of them.
   * @param {{action: string, [key: string]: unknown}} message
   * @param {{many?: boolean}} [options]
   * @returns {Promise<any>}
   */
  call(message, options) {
    return new Promise((resolve, reject) => this.post(message, resolve, reject, options));
  }

  /**
   * Sends a request, and calls `resolve` before the frame behind its answer is read: a promise would
   * come too late for prices that arrive together with their acknowledgement.
   * @param {{action: string, [key: string]: unknown}} message
   * @param {(answer: any) => void} resolve
   * @param {(error: PriceError) => void} reject
   * @param {{many?: boolean}} [options]
   */
  post(message, resolve, reject, { many = false } = {}) {
    if (this.#waiting.length >= MAX_WAITING) {
      reject(errorOf(429, "too many requests wait to be sent"));
      return;
    }
    const id = ++this.#lastId;
    this.#pending.set(id, { resolve, reject, frames: [], isMany: many });
    this.#write(JSON.stringify({ ...message, id }));
    // An answer of several frames does not say which is the last: that of a ping behind it does.
    if (many) this.#write(JSON.stringify({ action: "ping", id: `after ${id}` }));
  }

  /**
   * Takes a frame; returns whether it answers a request.
   * @param {any} frame
   */
  take(frame) {
    let id = frame.id;
    if (id === undefined) return false;
    const isEnd = typeof id === "string" && id.startsWith("after ");
    if (isEnd) id = Number(id.slice(6));
    const pending = this.#pending.get(id);
    if (pending === undefined) return isEnd;
    if (pending.isMany && !isEnd && frame.type !== "error") {
      pending.frames.push(frame);
      return true;
    }
    // Past ticks and positions come with the id of their subscription, behind its answer.
    this.#pending.delete(id);
    if (frame.type === "error") pending.reject(errorOf(frame.code, frame.message));
    else pending.resolve(pending.isMany ? pending.frames : frame);
    return true;
  }

  /** Fails what waits for an answer: the connection was lost. @param {PriceError} [error] */
  fail(error = new ConnectionError("the connection was lost", 1006)) {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#waiting = [];
    this.#tokens = BURST;
    this.#rate = RATE_PER_S;
    const failed = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of failed) reject(error);
  }

  /** @param {string} text */
  #write(text) {
    this.#waiting.push(text);
    if (this.#timer === undefined) this.#flush();
  }

  #flush() {
    this.#timer = undefined;
    const now = performance.now();
    const burst = Math.min(BURST, this.#rate * 3);
    const refilled = ((now - this.#refilledAt) / 1000) * this.#rate;
    this.#tokens = Math.min(burst, this.#tokens + Math.max(0, refilled));
    this.#refilledAt = now;
    let sent = 0;
    while (sent < this.#waiting.length && this.#tokens >= 1) {
      this.#tokens -= 1;
      this.#send(/** @type {string} */ (this.#waiting[sent]));
      sent += 1;
    }
    this.#waiting.splice(0, sent);
    if (this.#waiting.length > 0) {
      this.#timer = setTimeout(() => this.#flush(), 1000 / this.#rate);
    }
  }
}
