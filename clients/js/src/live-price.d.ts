// Live prices over the WebSocket /live-price, and history over REST.

/** A price, or with `exact` the digits that were published. */
export type Decimal = number | string;

export interface Tick {
  /** The symbol as the exchange spells it. */
  symbol: string;
  /** The name by which it was subscribed. */
  name: string;
  price: Decimal;
  /** Unix milliseconds, UTC. */
  timestamp: number;
  segment?: string;
  volume?: Decimal;
  oi?: Decimal;
  open?: Decimal;
  high?: Decimal;
  low?: Decimal;
  prev_close?: Decimal;
  change?: Decimal;
  change_pct?: Decimal;
  bid?: Decimal;
  ask?: Decimal;
  epoch?: number;
  seq?: number;
  depth?: { buy: DepthEntry[]; sell: DepthEntry[] };
  [key: string]: unknown;
}

export interface DepthEntry {
  price: Decimal;
  quantity: Decimal;
  orders?: number;
}

export interface Candle {
  /** The instrument key. */
  key: string;
  /** The name by which it was subscribed. */
  name: string;
  interval: string;
  /** Unix milliseconds. */
  start: number;
  ends: number;
  open: Decimal;
  high: Decimal;
  low: Decimal;
  close: Decimal;
  volume: Decimal | null;
  oi: Decimal | null;
  final: boolean;
  revised: boolean;
}

/**
 * `connecting`: a connection is being opened. `open`: prices can arrive. `waiting`: the connection
 * was lost and is opened again at `retryAt`. `closed`: for good, until `connect()`.
 */
export type State = "connecting" | "open" | "waiting" | "closed";
export type Feed = "live" | "quiet" | "down";

export interface StateChange {
  state: State;
  /** When the next attempt starts, Unix milliseconds; only with `waiting`. */
  retryAt?: number;
  /** Why the connection ended; with `waiting` and `closed`. */
  error?: PriceError;
}

/** Any failure; `code` is that of an error or close frame, or of HTTP; 1006 for a lost connection. */
export class PriceError extends Error {
  code: number;
  constructor(message: string, code: number);
}
/** One symbol was refused. */
export class SymbolError extends PriceError {
  symbol: string;
  constructor(message: string, code: number, symbol: string);
}
/** 401, 402, 403, and closes 4401, 4407, 4501. */
export class AuthenticationError extends PriceError {}
/** The connection was lost or closed by the server. */
export class ConnectionError extends PriceError {}

export type Token = string | null | undefined;

export interface ClientOptions {
  /**
   * An access token or API key, or a function that returns one. The function is called before every
   * connection and when the token is about to end; the open connection then gets the new one.
   */
  token?: Token | (() => Token | Promise<Token>);
  /**
   * Returns a ticket for each connection, instead of a token: `() => rest.ticket()` for a page whose
   * user is logged in to the server.
   */
  ticket?: () => string | Promise<string>;
  /** Give numbers as text with the published digits: "2950.50". */
  exact?: boolean;
  /** Milliseconds of silence after which the connection counts as lost; default 30,000. */
  silenceMs?: number;
  /** Bounds of the jittered back-off in milliseconds; default 100 and 20,000. */
  minBackoffMs?: number;
  maxBackoffMs?: number;
  /** A WebSocket class, for Node before 22. */
  WebSocket?: unknown;
}

export interface SubscribeOptions {
  /** Fields of each price; default `full`. */
  mode?: "ltp" | "quote" | "full";
  /** At most one price per symbol and interval; sets it for the whole connection. */
  intervalMs?: number;
  /** `false`: every tick. */
  conflate?: boolean;
  /** Candles of this interval instead of prices: `1m`, `5m`, ... */
  candles?: string;
  /** Past ticks or candles before live ones. */
  history?: { ticks: number } | { candles: { interval: string; count: number } };
  /** Resume by the last number after a loss: every missed tick arrives. Default `true`. */
  resume?: boolean;
  /** Restrict bare names to a segment. With the name "*": all of its instruments, under their keys. */
  segment?: string;
}

export interface OptionChainOptions {
  expiry?: string;
  segment?: string;
  strikesAround?: number;
  /** Move the subscriptions along with the money. */
  follow?: boolean;
  mode?: "ltp" | "quote" | "full";
}

export interface Recovered {
  symbol: string;
  recovered: boolean;
  /** Missed ticks that follow. */
  ticks: number;
  reason?: string;
}

export interface SubscriptionEvents {
  price: Tick;
  candle: Candle;
  /** Past ticks or candles, once per symbol. */
  history: { name: string; ticks?: Tick[]; candles?: Candle[] };
  /** A symbol is subscribed; `key` is its instrument key, `known: false` if nobody has the name. */
  subscribed: { name: string; key: string; known: boolean; suggestions: string[] };
  /** A symbol was refused, now or on a later connection. */
  rejected: SymbolError;
  /** After a loss: what of a symbol was recovered. */
  recovered: Recovered;
  /** The money of an option chain moved. */
  chain: Record<string, unknown>;
}

/**
 * Some symbols on the client's connection. Survives every loss of the connection.
 *
 * A loop over it begins with the newest value of each symbol. 1,000 values wait for a slow loop; then
 * only the newest of each symbol is kept, or with `conflate: false` the connection closes until the
 * loop has caught up, and resumes.
 */
export interface Subscription<Value extends Tick | Candle = Tick> extends AsyncIterable<Value> {
  readonly names: string[];
  /** Handles an event; returns a function that ends this. */
  on<E extends keyof SubscriptionEvents>(event: E, handler: (value: SubscriptionEvents[E]) => void): () => void;
  add(names: string | string[]): void;
  remove(names: string | string[]): void;
  /** Unsubscribes everything. */
  close(): void;
}

export interface ClientEvents {
  state: StateChange;
  feed: Feed;
  /** The server left out prices because this client reads too slowly. */
  conflated: { skipped: number };
  /** The server stops: the client connects again after this time, and resumes. */
  reconnect: { afterMs: number };
  /** An error that belongs to no request, or a token callback that failed. */
  error: PriceError;
  authenticated: { user: string; expires: number; segments: string[]; delayed: Record<string, number> };
  /** The user may see other segments now; `dropped` lists instrument keys. */
  entitlements: { segments: string[]; delayed: Record<string, number>; dropped: string[] };
  market_status: MarketStatus;
  /** Every frame as it came, for what this library does not know. */
  frame: Record<string, unknown>;
}

export interface MarketStatus {
  segment: string;
  status: string;
  name: string;
  next_change: number | null;
  next_status: string;
}

/** One connection with any number of subscriptions. Opens at once, and again after each loss. */
export class PriceClient {
  /** `url`: `ws://host:5000/live-price`; http and https addresses and paths are understood. */
  constructor(url: string, options?: ClientOptions);
  readonly state: State;
  readonly feed: Feed | null;
  /** The server's clock less ours, in milliseconds, or null before the first answer. */
  readonly clockOffsetMs: number | null;
  /** The last ping's round trip in milliseconds, or null. */
  readonly latencyMs: number | null;
  /** When the last frame arrived, Unix milliseconds, or null. */
  readonly lastFrameAt: number | null;
  on<E extends keyof ClientEvents>(event: E, handler: (value: ClientEvents[E]) => void): () => void;
  subscribe(names: string | string[], options: SubscribeOptions & { candles: string }): Subscription<Candle>;
  subscribe(names: string | string[], options?: SubscribeOptions): Subscription;
  subscribeOptionChain(underlying: string, options?: OptionChainOptions): Subscription;
  /** Sends an action and resolves with its answer; rejects with PriceError. */
  request(message: { action: string; [key: string]: unknown }): Promise<Record<string, unknown>>;
  configure(settings: { mode?: string; intervalMs?: number; batch?: boolean }): Promise<void>;
  marketStatus(segment?: string): Promise<MarketStatus[]>;
  ping(): Promise<number>;
  /** Connects at once instead of waiting; also after `closed`. */
  connect(): void;
  close(): void;
}

export interface RestOptions {
  token?: ClientOptions["token"];
  exact?: boolean;
  fetch?: typeof fetch;
}

/** The REST API. Errors are PriceError with the HTTP status as code. */
export class RestClient {
  /** `url`: `http://host:5000`. */
  constructor(url: string, options?: RestOptions);
  /** Any address below `/api/`: `get("instruments/", {search: "reliance"})`. */
  get(path: string, parameters?: Record<string, string | number | undefined>): Promise<any>;
  prices(symbols: string[]): Promise<{ prices: Tick[]; missing: string[] }>;
  instruments(parameters: Record<string, string | number | undefined>): Promise<any[]>;
  optionChain(underlying: string, parameters?: { expiry?: string; segment?: string }): Promise<any>;
  /** All candles of a range, page after page. `from` and `to`: Unix milliseconds, Date or ISO 8601. */
  candles(symbol: string, options: { interval: string; from?: number | Date | string; to?: number | Date | string }): Promise<Candle[]>;
  ticks(symbol: string, options?: { from?: number | Date | string; to?: number | Date | string }): Promise<Tick[]>;
  marketStatus(): Promise<MarketStatus[]>;
  login(username: string, password: string): Promise<{ access: string; refresh: string }>;
  /** New tokens for a refresh token, which is then used up. */
  refresh(refresh: string): Promise<{ access: string; refresh: string }>;
  /** A ticket for one connection, by the token or by the session cookie of this server's page. */
  ticket(): Promise<string>;
}
