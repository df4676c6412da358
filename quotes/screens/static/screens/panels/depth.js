// Depth: the best orders of both sides, the spread, the last trade and the day of one instrument.

import { element, write } from "./element.js";
import { difference } from "../format.js";

const LEVELS = 5;

// Field of a tick -> how it is shown. `change` and `spread` are computed.
const FACTS = [
  ["price", "price"],
  ["change", "change"],
  ["last_qty", "quantity"],
  ["last_trade_time", "moment"],
  ["avg_price", "price"],
  ["volume", "quantity"],
  ["oi", "quantity"],
  ["open", "price"],
  ["high", "price"],
  ["low", "price"],
  ["prev_close", "price"],
];

export class DepthPanel {
  constructor(root, app) {
    this.root = root;
    this.app = app;
    this.instrument = null;
    this.ends = [];
    this.tick = null;
    this.day = {}; // what the server computes of the day, where the publisher sends less
    this.drawing = 0;
    this.build();
    app.events.addEventListener("prefers", (event) => {
      if (event.detail?.name === "language") this.translate();
    });
  }

  show(instrument) {
    if (this.instrument?.key === instrument.key) return;
    this.hide();
    this.instrument = instrument;
    this.decimals = Number.isInteger(instrument.decimals) ? instrument.decimals : 2;
    this.tick = null;
    this.day = {};
    this.error = "";
    this.draw();
    const prices = this.app.client.subscribe([instrument.key], { mode: "full" });
    this.ends = [
      prices.on("price", (tick) => this.take(tick)),
      prices.on("rejected", (error) => {
        this.error = error.message;
        this.redraw();
      }),
      () => prices.close(),
    ];
    this.readLatest(instrument.key);
    this.readDay(instrument.key);
  }

  hide() {
    for (const end of this.ends) end();
    this.ends = [];
    this.instrument = null;
  }

  build() {
    const { root } = this;
    root.classList.add("depth");
    this.message = element("p", { class: "depth-message", role: "status" });
    const head = (side, ...names) =>
      names.map((name) => element("th", { scope: "col", t: `depth.${name}`, "data-side": side }));
    this.rows = Array.from({ length: LEVELS }, () => this.level());
    this.totals = [element("td", { "data-side": "buy" }), element("td", { "data-side": "sell" })];
    this.totalNames = ["buy", "sell"].map((side) => element("th", { scope: "row", t: `depth.total_${side}`, "data-side": side, colspan: "2" }));
    this.table = element(
      "table",
      { class: "depth-table" },
      element("caption", { class: "unseen", t: "depth.caption" }),
      element(
        "thead",
        {},
        element("tr", {}, ...head("buy", "orders", "quantity", "bid"), ...head("sell", "ask", "quantity", "orders")),
      ),
      element("tbody", {}, ...this.rows.map(({ row }) => row)),
      element("tfoot", {}, element("tr", {}, this.totalNames[0], this.totals[0], this.totals[1], this.totalNames[1])),
    );
    this.balance = element("div", { class: "depth-balance", role: "img" }, element("span"));
    this.spread = element("p", { class: "depth-spread" });
    this.facts = FACTS.map(([name, kind]) => {
      const value = element("dd");
      return { name, kind, value, item: element("div", {}, element("dt", { t: `depth.${name}` }), value) };
    });
    root.append(
      this.message,
      element("div", { class: "depth-book" }, this.table, this.balance, this.spread),
      element("dl", { class: "depth-facts" }, ...this.facts.map(({ item }) => item)),
    );
    this.translate();
  }

  level() {
    const cells = ["orders", "quantity", "price", "price", "quantity", "orders"].map((name, at) =>
      element("td", { class: `depth-${name}`, "data-side": at < 3 ? "buy" : "sell" }),
    );
    return { row: element("tr", {}, ...cells), cells };
  }

  translate() {
    for (const one of this.root.querySelectorAll("[data-t]")) write(one, this.app.t(one.dataset.t));
    this.draw();
  }

  take(tick) {
    this.tick = tick;
    this.error = "";
    this.redraw();
  }

  redraw() {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      this.draw();
    });
  }

  // The whole latest price: where the watch list has the symbol already, with fewer fields, live
  // prices have all of them from the next one on.
  async readLatest(key) {
    try {
      const { prices } = await this.app.rest.prices([key]);
      const price = prices[0];
      if (this.instrument?.key !== key || price === undefined) return;
      if (this.tick !== null && this.tick.timestamp > price.timestamp) return;
      this.take({ ...price, ...this.tick });
    } catch {
      // the live price says what is wrong
    }
  }

  // Today's candle of a day, for publishers that do not send open, high and low; and the last close.
  async readDay(key) {
    try {
      const day = 86_400_000;
      const days = await this.app.rest.candles(key, { interval: "1d", from: Date.now() - 12 * day, to: Date.now() + day });
      if (this.instrument?.key !== key || days.length === 0) return;
      const last = days.at(-1);
      this.day = { ...last, prev_close: days.at(-2)?.close, start: last.start };
      this.redraw();
    } catch {
      // without history the publisher's own fields remain
    }
  }

  // The book's entries of one side; the best alone where the tick has no depth.
  side(name) {
    const { tick } = this;
    const entries = tick?.depth?.[name];
    if (Array.isArray(entries) && entries.length > 0) return entries.slice(0, LEVELS);
    const [price, quantity] = name === "buy" ? [tick?.bid, tick?.bid_qty] : [tick?.ask, tick?.ask_qty];
    return price === undefined || price === null ? [] : [{ price, quantity }];
  }

  draw() {
    const { t, format } = this.app;
    const { tick } = this;
    const name = this.instrument?.key ?? "";
    const text = this.error ? t("depth.refused", { message: this.error }) : tick ? "" : t("depth.waiting", { name });
    write(this.message, text);
    this.message.hidden = text === "";
    const [buys, sells] = [this.side("buy"), this.side("sell")];
    const isBook = buys.length + sells.length > 0;
    const hasDepth = Boolean(tick?.depth);
    this.root.dataset.levels = String(Math.max(buys.length, sells.length));
    this.table.hidden = !isBook;
    this.spread.hidden = tick === null;
    const most = Math.max(1, ...[...buys, ...sells].map(({ quantity }) => Number(quantity) || 0));
    for (const [at, { row, cells }] of this.rows.entries()) {
      row.hidden = at >= Math.max(buys.length, sells.length);
      this.drawEntry([cells[2], cells[1], cells[0]], buys[at], most);
      this.drawEntry([cells[3], cells[4], cells[5]], sells[at], most);
    }
    this.drawTotals(buys, sells, hasDepth);
    this.drawSpread(buys[0], sells[0]);
    for (const { name: field, kind, value, item } of this.facts) {
      const shown = this.fact(field, kind);
      item.hidden = shown === "";
      write(value, shown);
      if (field === "change") value.dataset.tone = shown.startsWith("+") ? "up" : shown.startsWith("−") ? "down" : "";
    }
    for (const cell of this.table.querySelectorAll(".depth-orders, th")) {
      if (cell.dataset.t === "depth.orders" || cell.className === "depth-orders") cell.hidden = !hasDepth;
    }
    for (const cell of this.totalNames) cell.colSpan = hasDepth ? 2 : 1;
    this.root.setAttribute("aria-label", t("depth.label", { name, time: tick ? format.time(tick.timestamp) : "" }));
  }

  drawEntry([price, quantity, orders], entry, most) {
    const { format } = this.app;
    write(price, entry ? format.price(entry.price, this.decimals) : "");
    write(quantity, entry ? format.quantity(entry.quantity) : "");
    write(orders, entry?.orders === undefined ? "" : format.quantity(entry.orders));
    const share = entry ? Math.min(1, (Number(entry.quantity) || 0) / most) : 0;
    quantity.style.setProperty("--share", `${(share * 100).toFixed(1)}%`);
  }

  drawTotals(buys, sells, hasDepth) {
    const { t, format } = this.app;
    const sum = (entries) => entries.reduce((total, { quantity }) => total + (Number(quantity) || 0), 0);
    // The totals of all orders where the publisher sends them, else of the orders shown.
    const [buy, sell] = [Number(this.tick?.buy_qty ?? sum(buys)), Number(this.tick?.sell_qty ?? sum(sells))];
    const isShown = hasDepth && buy + sell > 0;
    this.table.tFoot.hidden = !isShown;
    this.balance.hidden = !isShown;
    write(this.totals[0], format.quantity(buy));
    write(this.totals[1], format.quantity(sell));
    const share = isShown ? (buy / (buy + sell)) * 100 : 50;
    this.balance.firstChild.style.setProperty("--share", `${share.toFixed(1)}%`);
    this.balance.setAttribute("aria-label", t("depth.balance", { buy: Math.round(share), sell: 100 - Math.round(share) }));
  }

  drawSpread(buy, sell) {
    const { t, format } = this.app;
    if (buy === undefined || sell === undefined) {
      write(this.spread, this.tick === null ? "" : buy || sell ? t("depth.one_side") : t("depth.none"));
      return;
    }
    const spread = difference(sell.price, buy.price);
    const middle = (Number(sell.price) + Number(buy.price)) / 2;
    const percent = middle > 0 ? ` (${((Number(spread) / middle) * 100).toFixed(2)}%)` : "";
    write(this.spread, `${t("depth.spread")} ${format.price(spread, this.decimals)}${percent}`);
  }

  // The text of a fact; "" hides it.
  fact(field, kind) {
    const { tick } = this;
    const { format } = this.app;
    if (tick === null) return "";
    if (field === "change") {
      const before = this.field("prev_close");
      if (before === undefined || before === null || Number(before) === 0) return "";
      const change = difference(tick.price, before);
      const percent = format.percent((Number(change) / Math.abs(Number(before))) * 100);
      return `${format.change(change, this.decimals)} (${percent})`;
    }
    const value = this.field(field);
    if (value === undefined || value === null) return "";
    if (kind === "quantity") return format.quantity(value);
    if (kind === "moment") return format.dateTime(Number(value));
    return format.price(value, this.decimals);
  }

  // A field of the tick, else of its day as it was recorded.
  field(name) {
    const { tick, day } = this;
    if (tick[name] !== undefined) return tick[name];
    const isOfDay = day.start !== undefined && tick.timestamp >= day.start && tick.timestamp < day.ends;
    if (!isOfDay || !["open", "high", "low", "prev_close", "volume"].includes(name)) return undefined;
    if (name === "high") return Math.max(day.high, Number(tick.price));
    if (name === "low") return Math.min(day.low, Number(tick.price));
    return day[name] ?? undefined;
  }
}
