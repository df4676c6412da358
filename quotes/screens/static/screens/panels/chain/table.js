// The table of an option chain: calls on the left, strikes in the middle, puts on the right.

import { element, write } from "../element.js";

// The columns of the calls, from the outside in; those of the puts mirror them.
const COLUMNS = ["oi", "volume", "iv", "delta", "gamma", "theta", "vega", "change", "price"];
const OF_GREEKS = ["iv", "delta", "gamma", "theta", "vega"];
const FULL_GREEKS = ["delta", "gamma", "theta", "vega"];

export class ChainTable {
  // root: gets the table. format: of the app. t: its translator.
  constructor(root, { format, t }) {
    this.format = format;
    this.t = t;
    this.rows = new Map(); // strike -> {row, call, put}
    this.sides = new Map(); // instrument key -> the side of a row
    this.columns = [];
    this.head = element("thead");
    this.body = element("tbody");
    this.table = element("table", { class: "chain-table" }, element("caption", { class: "unseen", t: "chain.caption" }), this.head, this.body);
    root.append(this.table);
    this.dirty = new Set();
    this.frame = 0;
  }

  // Shows columns: those of prices, IV if `hasGreeks`, all greeks if `showGreeks`.
  setColumns({ hasGreeks, showGreeks }) {
    const columns = COLUMNS.filter(
      (name) => !OF_GREEKS.includes(name) || (hasGreeks && (showGreeks || !FULL_GREEKS.includes(name))),
    );
    if (columns.join() === this.columns.join()) return;
    this.columns = columns;
    const head = (name) => element("th", { scope: "col", t: `chain.${name}`, class: `chain-${name}` });
    const side = (name) => element("th", { scope: "colgroup", colspan: String(columns.length), t: `chain.${name}`, class: "chain-side" });
    this.head.replaceChildren(
      element("tr", {}, side("calls"), element("th", { class: "chain-strike" }), side("puts")),
      element("tr", {}, ...columns.map(head), element("th", { scope: "col", t: "chain.strike", class: "chain-strike" }), ...[...columns].reverse().map(head)),
    );
    this.translate();
    const strikes = [...this.rows.values()].map(({ strike }) => strike);
    this.rows.clear();
    this.sides.clear();
    if (strikes.length > 0) this.setStrikes(strikes, this.decimals);
  }

  translate() {
    for (const one of this.table.querySelectorAll("[data-t]")) write(one, this.t(one.dataset.t));
    for (const row of this.rows.values()) write(row.mark, this.t("chain.at_the_money"));
  }

  // Shows strikes, as REST gives them: {strike, call, put}. Rows that stay keep their cells.
  setStrikes(strikes, decimals) {
    this.decimals = decimals;
    const rows = new Map();
    for (const strike of strikes) {
      rows.set(strike.strike, this.rows.get(strike.strike) ?? this.makeRow(strike));
    }
    for (const [strike, { call, put }] of this.rows) {
      if (rows.has(strike)) continue;
      for (const side of [call, put]) if (side.key) this.sides.delete(side.key);
    }
    this.rows = rows;
    this.body.replaceChildren(...[...rows.values()].map(({ row }) => row));
    this.drawAll();
  }

  makeRow(strike) {
    const mark = element("span", { class: "unseen", text: this.t("chain.at_the_money") });
    mark.hidden = true;
    const cell = element("th", { scope: "row", class: "chain-strike" }, element("span", { text: this.format.price(strike.strike, Number.isInteger(strike.strike) ? 0 : 2) }), mark);
    const call = this.makeSide(strike.call, "call", this.columns);
    const put = this.makeSide(strike.put, "put", [...this.columns].reverse());
    const row = element("tr", { "data-strike": strike.strike }, ...call.cells, cell, ...put.cells);
    return { strike, row, cell, mark, call, put };
  }

  makeSide(option, name, columns) {
    const cells = columns.map((column) => element("td", { class: `chain-${column}`, "data-side": name }));
    const byName = Object.fromEntries(columns.map((column, at) => [column, cells[at]]));
    const side = { key: option?.key ?? null, cells, byName, tick: null, greeks: null };
    if (option?.latest) side.tick = { price: option.latest.price, timestamp: option.latest.timestamp };
    if (side.key) this.sides.set(side.key, side);
    return side;
  }

  // Marks the strike at the money, and which options are in the money.
  setMoney(strike) {
    for (const { strike: { strike: at }, row, mark } of this.rows.values()) {
      const isMoney = at === strike;
      row.classList.toggle("chain-money", isMoney);
      if (isMoney) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
      mark.hidden = !isMoney;
      row.dataset.money = strike === null ? "" : at < strike ? "call" : at > strike ? "put" : "";
    }
  }

  take(key, tick) {
    const side = this.sides.get(key);
    if (side === undefined) return;
    side.tick = tick;
    this.dirty.add(side);
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.drawDirty();
    });
  }

  setGreeks(options) {
    for (const option of options) {
      const side = this.sides.get(option.key);
      if (side === undefined) continue;
      side.greeks = option;
      this.dirty.add(side);
    }
    this.drawDirty();
  }

  drawAll() {
    for (const side of this.sides.values()) this.dirty.add(side);
    this.drawDirty();
  }

  // Bars are shares of the largest open interest shown: if that changes, all are drawn.
  drawDirty() {
    let most = 0;
    for (const { tick } of this.sides.values()) most = Math.max(most, Number(tick?.oi) || 0);
    const sides = most === this.mostOi ? this.dirty : this.sides.values();
    this.mostOi = most;
    for (const side of sides) this.drawSide(side);
    this.dirty.clear();
  }

  drawSide({ byName, tick, greeks, key }) {
    const { format, decimals } = this;
    if (key === null) {
      write(byName.price, "–");
      return;
    }
    write(byName.price, tick ? format.price(tick.price, decimals) : "–");
    const change = percentOf(tick);
    write(byName.change, change === null ? "" : format.percent(change));
    byName.change.dataset.tone = change > 0 ? "up" : change < 0 ? "down" : "";
    for (const name of ["volume", "oi"]) {
      const full = format.quantity(tick?.[name]);
      const short = shortQuantity(tick?.[name], this.t) ?? full;
      write(byName[name], short);
      byName[name].title = short === full ? "" : full;
    }
    const share = this.mostOi > 0 ? ((Number(tick?.oi) || 0) / this.mostOi) * 100 : 0;
    byName.oi.style.setProperty("--share", `${share.toFixed(1)}%`);
    for (const [name, digits] of [["iv", 1], ["delta", 2], ["gamma", 4], ["theta", 2], ["vega", 2]]) {
      const cell = byName[name];
      if (cell === undefined) continue;
      const value = greeks?.[name];
      write(cell, typeof value === "number" ? greekText(value, digits) : "–");
    }
  }

  clear() {
    this.rows.clear();
    this.sides.clear();
    this.dirty.clear();
    this.body.replaceChildren();
  }
}

// The change in percent from the previous close; null where nothing says it.
function percentOf(tick) {
  if (tick === null) return null;
  if (tick.change_pct !== undefined) return Number(tick.change_pct);
  const before = Number(tick.prev_close);
  return before > 0 ? ((Number(tick.price) - before) / before) * 100 : null;
}

// Lakhs and crores, as quantities of a chain are read: 12.3 L, 4.56 Cr; null below a lakh.
function shortQuantity(value, t) {
  const number = Number(value);
  if (value === undefined || value === null || !(number >= 1e5)) return null;
  const [unit, share] = number >= 1e7 ? ["chain.crore", number / 1e7] : ["chain.lakh", number / 1e5];
  return t(unit, { n: share >= 100 ? share.toFixed(0) : share.toPrecision(3) });
}

// A small gamma keeps its digits: 0.00033, not 0.0003.
function greekText(value, digits) {
  const text = value !== 0 && Math.abs(value) < 10 ** -(digits - 1) ? value.toPrecision(2) : value.toFixed(digits);
  return (text.includes("e") ? value.toFixed(8) : text).replace("-", "−");
}
