// The client of the REST API.

import { ConnectionError, errorOf } from "./errors.js";
import { parseExact } from "./numbers.js";

/** @typedef {number | Date | string} Moment */

export class RestClient {
  #base;
  #options;

  /**
   * @param {string} url
   * @param {import("./live-price.js").RestOptions} [options]
   */
  constructor(url, options = {}) {
    const base = globalThis.location?.href;
    const address = base?.startsWith("http") ? new URL(url, base) : new URL(url);
    address.pathname = address.pathname.replace(/\/*$/, "/");
    this.#base = address;
    this.#options = options;
  }

  /**
   * @param {string} path
   * @param {Record<string, string | number | undefined>} [parameters]
   * @returns {Promise<any>}
   */
  get(path, parameters = {}) {
    const address = this.#address(path);
    for (const [name, value] of Object.entries(parameters)) {
      if (value !== undefined) address.searchParams.set(name, String(value));
    }
    return this.#fetch(address, {});
  }

  /** @param {string[]} symbols */
  async prices(symbols) {
    /** @type {{prices: any[], missing: string[]}} */
    const found = { prices: [], missing: [] };
    for (const some of chunks(symbols)) {
      const page = await this.get("prices/", { symbols: some.join(",") });
      found.prices.push(...page.prices);
      found.missing.push(...page.missing);
    }
    return found;
  }

  /** @param {Record<string, string | number | undefined>} parameters */
  instruments(parameters) {
    return this.#pages("instruments/", parameters, "results");
  }

  /**
   * @param {string} underlying
   * @param {{expiry?: string, segment?: string}} [parameters]
   */
  optionChain(underlying, parameters = {}) {
    return this.get(`instruments/${encodeURIComponent(underlying)}/option-chain/`, { ...parameters });
  }

  /**
   * @param {string} symbol
   * @param {{interval: string, from?: Moment, to?: Moment}} options
   */
  async candles(symbol, { interval, from, to }) {
    const path = `instruments/${encodeURIComponent(symbol)}/candles/`;
    const parameters = { interval, from: moment(from), to: moment(to), rows: "objects" };
    const rows = [];
    for await (const page of this.#each(path, parameters)) {
      for (const row of page.candles) {
        rows.push({ key: page.instrument, name: symbol, interval: page.interval, ...row });
      }
    }
    return rows;
  }

  /**
   * @param {string} symbol
   * @param {{from?: Moment, to?: Moment}} [options]
   */
  async ticks(symbol, { from, to } = {}) {
    const path = `instruments/${encodeURIComponent(symbol)}/ticks/`;
    const rows = [];
    for await (const page of this.#each(path, { from: moment(from), to: moment(to), rows: "objects" })) {
      for (const row of page.ticks) rows.push({ name: symbol, ...row });
    }
    return rows;
  }

  async marketStatus() {
    const { segments } = await this.get("market-status/");
    return segments.map((/** @type {any} */ { segment, status, name, next_change, next_status }) => ({
      segment, status, name, next_status,
      next_change: next_change === null ? null : Date.parse(next_change),
    }));
  }

  /**
   * @param {string} username
   * @param {string} password
   */
  login(username, password) {
    return this.#post("token/", { username, password });
  }

  /** @param {string} refresh */
  refresh(refresh) {
    return this.#post("token/refresh/", { refresh });
  }

  /** A ticket for one connection of PriceClient, as the caller or the user of this page's session. */
  async ticket() {
    const csrf = /(?:^|;\s*)csrftoken=([^;]*)/.exec(globalThis.document?.cookie ?? "")?.[1];
    const { ticket } = await this.#post("ws-ticket/", undefined, csrf ? { "X-CSRFToken": csrf } : {});
    return ticket;
  }

  // -- requests -------------------------------------------------------------------------------

  /** @param {string} path */
  #address(path) {
    const relative = path.replace(/^\/+/, "").replace(/^api\//, "");
    return new URL(`api/${relative}`, this.#base);
  }

  /**
   * @param {string} path
   * @param {unknown} body
   * @param {Record<string, string>} [headers]
   */
  #post(path, body, headers = {}) {
    const content = body === undefined ? {} : { body: JSON.stringify(body) };
    return this.#fetch(this.#address(path), {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers },
      ...content,
    }, path.startsWith("token/"));
  }

  /**
   * @param {string} path
   * @param {Record<string, string | number | undefined>} parameters
   */
  async *#each(path, parameters) {
    let page = await this.get(path, parameters);
    yield page;
    while (page.next) {
      // Behind a proxy the server may know itself by another address.
      const { search } = new URL(page.next, this.#base);
      const address = this.#address(path);
      address.search = search;
      page = await this.#fetch(address, {});
      yield page;
    }
  }

  /**
   * @param {string} path
   * @param {Record<string, string | number | undefined>} parameters
   * @param {string} rows
   */
  async #pages(path, parameters, rows) {
    const found = [];
    const limit = parameters.limit === undefined ? Infinity : Number(parameters.limit);
    for await (const page of this.#each(path, parameters)) {
      found.push(...page[rows]);
      if (found.length >= limit) break;
    }
    return found.slice(0, limit);
  }

  /**
   * @param {URL} address
   * @param {RequestInit} request
   * @param {boolean} [isLogin]
   */
  async #fetch(address, request, isLogin = false) {
    const { token, exact, fetch = globalThis.fetch } = this.#options;
    const credential = isLogin ? null : typeof token === "function" ? await token() : token;
    const headers = { ...(/** @type {Record<string, string>} */ (request.headers)) };
    // An API key has no dots, a token has two.
    if (credential) {
      const scheme = credential.split(".").length === 3 ? "Bearer" : "Api-Key";
      headers.Authorization = `${scheme} ${credential}`;
    }
    let response;
    let text;
    try {
      response = await fetch(address, { ...request, headers });
      text = await response.text();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new ConnectionError(`no answer from ${address.origin}: ${why}`, 1006);
    }
    if (!response.ok) throw errorOf(response.status, messageOf(text) || `HTTP ${response.status}`);
    if (text === "") return undefined;
    return exact ? parseExact(text) : JSON.parse(text);
  }
}

/** @param {string} text */
function messageOf(text) {
  try {
    const { message, detail } = JSON.parse(text);
    return message ?? detail;
  } catch {
    return "";
  }
}

/** @param {Moment | undefined} value */
function moment(value) {
  return value instanceof Date ? value.getTime() : value;
}

/** @param {string[]} symbols */
function* chunks(symbols) {
  for (let at = 0; at < symbols.length; at += 200) yield symbols.slice(at, at + 200);
}
