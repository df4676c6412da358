// Handlers of named events, called directly: no event object is made for a price.

/**
 * Reports an error of a user's handler, which must not keep the others from their events.
 * @param {unknown} error
 */
export function report(error) {
  if (typeof globalThis.reportError === "function") globalThis.reportError(error);
  else queueMicrotask(() => { throw error; });
}

export class Handlers {
  /** @type {Map<string, ((value: any) => void)[]>} */
  #handlers = new Map();

  /** @param {readonly string[]} names */
  constructor(names) {
    for (const name of names) this.#handlers.set(name, []);
  }

  /**
   * @param {string} name
   * @param {(value: any) => void} handler
   * @returns {() => void}
   */
  add(name, handler) {
    if (typeof handler !== "function") throw new TypeError("a handler is a function");
    const found = this.#handlers.get(name);
    if (found === undefined) {
      const names = [...this.#handlers.keys()].join(", ");
      throw new TypeError(`an event is one of ${names}, got '${name}'`);
    }
    // Lists are replaced, so that one that is being called does not change.
    this.#handlers.set(name, [...found, handler]);
    return () => {
      const left = (this.#handlers.get(name) ?? []).filter((one) => one !== handler);
      this.#handlers.set(name, left);
    };
  }

  /**
   * @param {string} name
   * @returns {((value: any) => void)[]}
   */
  of(name) {
    return this.#handlers.get(name) ?? [];
  }

  /**
   * @param {string} name
   * @param {unknown} value
   */
  call(name, value) {
    for (const handler of this.of(name)) {
      try {
        handler(value);
      } catch (error) {
        report(error);
      }
    }
  }
}
