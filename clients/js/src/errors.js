// The errors that users of the client catch.

/** Any failure; `code` is that of an error or close frame, or of HTTP; 1006 for a lost connection. */
export class PriceError extends Error {
  /**
   * @param {string} message
   * @param {number} code
   */
  constructor(message, code) {
    super(message);
    this.name = new.target.name;
    this.code = code;
  }
}

/** One symbol was refused. */
export class SymbolError extends PriceError {
  /**
   * @param {string} message
   * @param {number} code
   * @param {string} symbol
   */
  constructor(message, code, symbol) {
    super(message, code);
    this.symbol = symbol;
  }
}

/** 401, 402, 403, and closes 4401, 4407, 4501. */
export class AuthenticationError extends PriceError {}

/** The connection was lost or closed by the server. */
export class ConnectionError extends PriceError {}

const AUTHENTICATION = new Set([401, 402, 403, 4401, 4407, 4501]);

/**
 * Returns the error of a code of the protocol or of HTTP.
 * @param {number} code
 * @param {string} message
 * @returns {PriceError}
 */
export function errorOf(code, message) {
  if (AUTHENTICATION.has(code)) return new AuthenticationError(message, code);
  if (code >= 1000) return new ConnectionError(message, code);
  return new PriceError(message, code);
}
