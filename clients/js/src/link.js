// One connection after the other: opening, losing, waiting, watching. It knows nothing of prices.

import { ConnectionError, PriceError, errorOf } from "./errors.js";

// A connection that lasted so long was no failure: the next back-off begins from the least.
const HOLDS_MS = 10_000;
const CONNECT_TIMEOUT_MS = 15_000;
const MAX_MOVE_MS = 3_600_000;

/**
 * @typedef {object} Hooks
 * @property {() => Promise<string>} address returns the address to open, for each attempt
 * @property {() => void} opened called when the socket is open
 * @property {(text: string) => void} received called with each text frame
 * @property {(error: PriceError) => void} lost called once for each socket that was open or tried
 * @property {() => void} changed called when `state` has changed
 * @property {() => void} probe called to send something that the server answers
 */

export class Link {
  /** @type {import("./live-price.js").State} */
  state = "connecting";
  /** When the next attempt starts, Unix milliseconds. @type {number | undefined} */
  retryAt = undefined;
  /** Why the last connection ended. @type {PriceError | undefined} */
  error = undefined;
  /** When the last frame arrived, Unix milliseconds. @type {number | null} */
  lastFrameAt = null;

  /** @type {any} */
  #socket = null;
  #attempt = 0; // number of this attempt: what belongs to an older one is ignored
  #failures = 0;
  #openedAt = 0;
  /** @type {any} */
  #retryTimer = undefined;
  /** @type {any} */
  #watchTimer = undefined;
  #watchedAt = 0;
  #heardAt = 0; // by the monotonic clock
  #probed = false;
  #paused = false;
  /** When to leave a server that stops, by the monotonic clock; 0: stay. */
  #moveAt = 0;
  /** @type {any} */
  #moveTimer = undefined;
  /** @type {Hooks} */
  #hooks;
  /** @type {{WebSocket: any, silenceMs: number, minBackoffMs: number, maxBackoffMs: number}} */
  #options;

  /**
   * @param {Hooks} hooks
   * @param {{WebSocket: any, silenceMs: number, minBackoffMs: number, maxBackoffMs: number}} options
   */
  constructor(hooks, options) {
    this.#hooks = hooks;
    this.#options = options;
    this.#listen(true);
    queueMicrotask(() => {
      if (this.state === "connecting" && this.#attempt === 0) this.#open();
    });
  }

  /** Connects at once; does nothing while a connection is open or being opened. */
  connect() {
    if (this.state === "connecting" || this.state === "open") return;
    if (this.state === "closed") this.#listen(true);
    this.#failures = 0;
    this.#paused = false;
    this.#open();
  }

  /** Says that the connection is ready for use: authenticated, where that is needed. */
  ready() {
    this.error = undefined;
    this.#change("open");
  }

  /** @param {string} text */
  send(text) {
    this.#socket?.send(text);
  }

  get isConnected() {
    return this.#socket !== null && this.#socket.readyState === 1;
  }

  /**
   * Ends the connection, and opens the next one as after any loss.
   * @param {PriceError} error
   */
  drop(error) {
    this.#detach();
    this.#lost(error);
  }

  /**
   * Leaves a server that stops after a time, and connects again at once.
   * @param {number} afterMs
   */
  move(afterMs) {
    if (this.#moveAt > 0 || !this.isConnected || !(afterMs >= 0)) return;
    const delay = Math.min(afterMs, MAX_MOVE_MS);
    this.#moveAt = performance.now() + delay;
    this.#moveTimer = setTimeout(() => {
      this.#detach(1000);
      this.#lost(new ConnectionError("the server stops", 1012));
    }, delay);
  }

  /**
   * Ends the connection until `connect` is called.
   * @param {PriceError} error
   */
  pause(error) {
    this.#paused = true;
    this.drop(error);
  }

  /**
   * Ends the connection for good.
   * @param {PriceError} [error]
   */
  close(error) {
    if (this.state === "closed") return;
    const wasTried = this.state === "connecting" || this.state === "open";
    this.#stay();
    this.#detach(1000);
    this.#listen(false);
    this.error = error;
    this.retryAt = undefined;
    this.state = "closed";
    if (wasTried) this.#hooks.lost(error ?? new ConnectionError("the client was closed", 1000));
    this.#hooks.changed();
  }

  // -- opening --------------------------------------------------------------------------------

  async #open() {
    clearTimeout(this.#retryTimer);
    const attempt = ++this.#attempt;
    this.retryAt = undefined;
    this.#change("connecting");
    let socket;
    try {
      const address = await this.#hooks.address();
      if (attempt !== this.#attempt) return;
      socket = new this.#options.WebSocket(address);
    } catch (error) {
      if (attempt !== this.#attempt) return;
      this.#lost(asError(error));
      return;
    }
    this.#socket = socket;
    this.#openedAt = 0;
    this.#hear();
    let failure = "";
    socket.onopen = () => {
      this.#openedAt = performance.now();
      this.#hear();
      this.#hooks.opened();
    };
    socket.onmessage = (/** @type {{data: unknown}} */ event) => {
      this.#heardAt = performance.now();
      this.lastFrameAt = Date.now();
      this.#probed = false;
      if (typeof event.data === "string") this.#hooks.received(event.data);
    };
    socket.onerror = (/** @type {{message?: string}} */ event) => {
      failure = event.message ?? "";
    };
    socket.onclose = (/** @type {{code: number, reason: string}} */ event) => {
      if (socket !== this.#socket) return;
      const hasOpened = this.#openedAt > 0;
      this.#socket = null;
      this.#stopWatching();
      this.#lost(hasOpened ? closeError(event) : refusalError(socket.url, failure));
    };
    this.#startWatching();
  }

  #stay() {
    this.#moveAt = 0;
    clearTimeout(this.#moveTimer);
  }

  #detach(code = 0) {
    const socket = this.#socket;
    this.#socket = null;
    this.#attempt += 1;
    clearTimeout(this.#retryTimer);
    this.#stopWatching();
    if (socket === null) return;
    // `ws` throws an error event at a socket that is ended while it connects: someone must listen.
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.onerror = () => {};
    try {
      // A peer that is frozen answers no close: `ws` can end it at once.
      if (code === 0 && typeof socket.terminate === "function") socket.terminate();
      else socket.close(...(code ? [code] : []));
    } catch {
      // It was closed already.
    }
  }

  /** @param {PriceError} error */
  #lost(error) {
    if (this.#openedAt > 0 && performance.now() - this.#openedAt > HOLDS_MS) this.#failures = 0;
    this.#openedAt = 0;
    this.error = error;
    if (error.code >= 4500 && error.code < 5000) {
      this.close(error);
      return;
    }
    const moveAt = this.#moveAt;
    this.#stay();
    this.#hooks.lost(error);
    if (this.state === "closed") return; // a handler closed it
    this.retryAt = undefined;
    if (moveAt > 0 && !this.#paused) {
      // It was closed as announced, or a little earlier: no failure.
      const delay = Math.max(0, moveAt - performance.now());
      this.error = undefined;
      this.#change("connecting");
      clearTimeout(this.#retryTimer);
      this.#retryTimer = setTimeout(() => this.#open(), delay);
      return;
    }
    if (!this.#paused) {
      this.#failures += 1;
      const { minBackoffMs, maxBackoffMs } = this.#options;
      const most = Math.min(maxBackoffMs, minBackoffMs * 2 ** this.#failures);
      const delay = minBackoffMs + Math.random() * Math.max(0, most - minBackoffMs);
      this.retryAt = Date.now() + Math.round(delay);
      clearTimeout(this.#retryTimer);
      this.#retryTimer = setTimeout(() => this.#open(), delay);
    }
    this.#change("waiting");
  }

  /** @param {import("./live-price.js").State} state */
  #change(state) {
    this.state = state;
    this.#hooks.changed();
  }

  // -- watching -------------------------------------------------------------------------------

  #hear() {
    this.#heardAt = performance.now();
    this.#probed = false;
  }

  #startWatching() {
    this.#watchedAt = Date.now();
    clearInterval(this.#watchTimer);
    this.#watchTimer = setInterval(() => this.#watch(), this.#every());
  }

  #stopWatching() {
    clearInterval(this.#watchTimer);
  }

  #every() {
    return Math.max(50, Math.min(5000, this.#options.silenceMs / 6));
  }

  // Any frame counts, and the server sends a heartbeat after 15 s without one. Timers of a tab in
  // the background, and all of a laptop that sleeps, run late: then the silence may be ours, and the
  // server gets another chance before the connection counts as lost.
  #watch() {
    const now = performance.now();
    const sinceWatched = Date.now() - this.#watchedAt;
    this.#watchedAt = Date.now();
    const isConnecting = this.#openedAt === 0;
    const limit = isConnecting
      ? Math.min(CONNECT_TIMEOUT_MS, this.#options.silenceMs)
      : this.#options.silenceMs;
    if (sinceWatched > 3 * this.#every() || sinceWatched < 0) {
      this.check();
      return;
    }
    const silence = now - this.#heardAt;
    if (silence > limit) {
      const what = isConnecting ? "no connection" : "nothing came from the server";
      this.drop(new ConnectionError(`${what} for ${Math.round(silence / 1000)} s`, 1006));
    } else if (silence > limit * 0.6 && !isConnecting && !this.#probed) {
      this.#probed = true;
      this.#hooks.probe();
    }
  }

  /** Sends a probe, and gives the server a while to answer before the connection counts as lost. */
  check() {
    if (this.#openedAt === 0) {
      this.#hear();
      return;
    }
    const grace = Math.min(5000, this.#options.silenceMs / 2);
    if (performance.now() - this.#heardAt < 1000) return;
    // Silence counts from now on, less what the grace leaves of it.
    this.#heardAt = performance.now() - this.#options.silenceMs + grace;
    this.#probed = true;
    this.#hooks.probe();
  }

  // Called when the network or the user is back.
  #wake = () => {
    if (globalThis.document?.visibilityState === "hidden") return;
    if (this.state === "waiting" && !this.#paused) {
      this.#failures = 0;
      this.#open();
    } else if (this.state === "open") {
      this.check();
    }
  };

  /** @param {boolean} on */
  #listen(on) {
    const change = on ? "addEventListener" : "removeEventListener";
    globalThis.window?.[change]?.("online", this.#wake);
    globalThis.document?.[change]?.("visibilitychange", this.#wake);
  }
}

/** @param {{code: number, reason: string}} event */
function closeError({ code, reason }) {
  const text = code === 1006 || code === 1005 ? "the connection was lost" : "the server closed";
  return errorOf(code < 1000 ? 1006 : code, reason ? `${text}: ${reason}` : text);
}

/**
 * @param {string} address
 * @param {string} failure
 */
function refusalError(address, failure) {
  const server = address.replace(/\?.*/s, "");
  const status = Number(/response: (\d{3})/.exec(failure)?.[1] ?? 0);
  if (status) return errorOf(status, `${server} refused the connection: HTTP ${status}`);
  const hint = globalThis.document
    ? "is the server up, is this page's origin in its QUOTES_ALLOWED_ORIGINS, and are there too many connections?"
    : failure || "is the server up?";
  return new ConnectionError(`no connection to ${server}: ${hint}`, 1006);
}

/** @param {unknown} error */
function asError(error) {
  if (error instanceof PriceError) return error;
  return new ConnectionError(error instanceof Error ? error.message : String(error), 1006);
}
