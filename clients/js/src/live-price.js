// Live prices over the WebSocket /live-price, and history over REST.

export { AuthenticationError, ConnectionError, PriceError, SymbolError } from "./errors.js";
export { PriceClient } from "./price-client.js";
export { RestClient } from "./rest-client.js";
