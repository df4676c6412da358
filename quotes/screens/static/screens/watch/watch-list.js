// The watch list on the page: the list that shows, its quotes in the grid, what a person does to
// its rows.

import { columnsOf, sorted } from "./columns.js";
import { Grid } from "./grid.js";
import { Heads } from "./heads.js";
import { MOST_SYMBOLS } from "./lists.js";
import { Quotes } from "./quotes.js";

// Rows in the order of a column are put in order again this often: slowly enough to be read.
const SORT_EVERY_MS = 2000;
const MOST_UNDONE = 50;
// A panel waits this long for the key of an instrument that was just subscribed.
const SETTLES_MS = 3000;

export class WatchList {
  // lists: of lists.js; moved(): a price moved.
  constructor(app, lists, { notices, moved }) {
    this.app = app;
    this.lists = lists;
    this.notices = notices;
    this.removed = []; // what may be undone: { list, name, at }
    this.list = null;
    this.selection = 0;
    this.details = new Map(); // key -> instrument
    const columns = columnsOf({ format: app.format, now: () => this.now });
    this.columns = columns;
    this.element = document.getElementById("grid");
    this.element.setAttribute("aria-colcount", String(columns.length));
    this.grid = new Grid(this.element, this.element.querySelector(".grid-space"), {
      columns,
      format: app.format,
      t: app.t,
    });
    this.heads = new Heads(this.element.querySelector(".grid-head"), {
      columns,
      t: app.t,
      sort: (id) => this.sortBy(id),
    });
    this.quotes = new Quotes(app, {
      changed: (quote) => this.grid.mark(quote),
      duplicate: (name) => this.drop(name),
      refused: (name, message) => notices.show(`${name}: ${message}`),
      moved,
    });
    this.drawColumns();
    this.heads.draw(this.order);
    this.listen();
    setInterval(() => this.tick(), 1000);
    setInterval(() => this.sortAgain(), SORT_EVERY_MS);
  }

  // The server's time: a wrong clock in the browser makes no price old.
  get now() {
    return Date.now() + (this.app.client.clockOffsetMs ?? 0);
  }

  tick() {
    if (!document.hidden) this.grid.markAll();
  }

  // -- which rows, and their order -----------------------------------------------------------

  // Shows a list as it is now.
  show(list) {
    const isOther = this.list !== list;
    const active = this.grid.activeQuote?.name;
    this.list = list;
    this.own = this.quotes.show(list.symbols);
    this.arrange();
    const at = active === undefined ? -1 : this.grid.quotes.findIndex(({ name }) => name === active);
    this.grid.setActive(isOther ? -1 : at, { scroll: false });
    document.getElementById("empty").hidden = list.symbols.length > 0;
  }

  // Begins again without a price: what may be seen has changed.
  forget() {
    this.own = this.quotes.forget();
    this.arrange();
  }

  get order() {
    const order = this.app.preferences.get("sort");
    const column = this.columns.find(({ id, value }) => value && id === order?.column);
    return column === undefined ? null : { column: column.id, descending: Boolean(order.descending) };
  }

  arrange() {
    const { order } = this;
    const column = order && this.columns.find(({ id }) => id === order.column);
    const quotes = column ? sorted(this.own, column, order.descending) : this.own;
    this.grid.setQuotes(quotes);
  }

  // Puts rows in order again, with the active row where it is now.
  sortAgain() {
    if (this.order === null || this.isDragging || document.hidden) return;
    const active = this.grid.activeQuote;
    this.arrange();
    if (active) this.grid.setActive(this.grid.quotes.indexOf(active), { scroll: false });
  }

  // First the greatest (of text the first), then the other way round, then the own order.
  sortBy(id) {
    const { order } = this;
    const isText = this.columns.find((column) => column.id === id)?.isText ?? false;
    let next = { column: id, descending: !isText };
    if (order?.column === id) {
      next = order.descending === !isText ? { column: id, descending: isText } : null;
    }
    this.setOrder(next);
  }

  setOrder(order) {
    this.app.preferences.set("sort", order);
    this.heads.draw(this.order);
    this.sortOnce();
  }

  sortOnce() {
    const active = this.grid.activeQuote;
    this.arrange();
    if (active) this.grid.setActive(this.grid.quotes.indexOf(active));
  }

  drawColumns() {
    const hidden = this.app.preferences.get("hidden");
    for (const { id } of this.columns) {
      this.element.classList.toggle(`no-${id}`, Array.isArray(hidden) && hidden.includes(id));
    }
  }

  // The language changed.
  redraw() {
    this.heads.draw(this.order);
    this.grid.rebuild();
  }

  // -- what a person does --------------------------------------------------------------------

  has(key) {
    return this.own.some((quote) => quote.name === key || quote.key === key);
  }

  // Adds names; returns how many are new. They come first, where they are seen.
  add(names) {
    const { list } = this;
    const fresh = names.filter((name) => !this.has(name));
    const room = MOST_SYMBOLS - list.symbols.length;
    if (fresh.length > room) this.say("watch.full", { n: MOST_SYMBOLS });
    else if (fresh.length === 0) this.say("watch.here", { name: names.join(", ") });
    const added = fresh.slice(0, Math.max(0, room));
    if (added.length > 0) {
      this.save([...list.symbols, ...added]);
      this.notices.say(this.app.t("watch.added", { name: added.join(", ") }));
    }
    const shown = added[0] ?? names[0];
    const at = this.grid.quotes.findIndex(({ name, key }) => name === shown || key === shown);
    if (at >= 0) this.grid.setActive(at);
    return added.length;
  }

  remove(name) {
    const { list } = this;
    const at = list.symbols.indexOf(name);
    if (at < 0) return;
    const row = this.grid.quotes.findIndex((quote) => quote.name === name);
    this.removed.push({ list, name, at });
    this.removed.splice(0, this.removed.length - MOST_UNDONE);
    this.save(list.symbols.filter((one) => one !== name));
    this.grid.setActive(Math.min(row, this.grid.quotes.length - 1));
    const { t } = this.app;
    this.notices.show(t("watch.removed", { name }), {
      text: t("watch.undo"),
      run: () => this.undo(),
    });
  }

  undo() {
    const last = this.removed.pop();
    if (last === undefined || this.lists.byId(last.list.id) === undefined) return;
    if (last.list.id !== this.lists.currentId) this.lists.select(last.list.id);
    const symbols = this.list.symbols.filter((name) => name !== last.name);
    symbols.splice(last.at, 0, last.name);
    this.save(symbols);
    this.grid.setActive(this.grid.quotes.findIndex(({ name }) => name === last.name));
    this.element.focus();
  }

  // Takes away a second name of an instrument.
  drop(name) {
    this.save(this.list.symbols.filter((one) => one !== name));
    this.say("watch.same", { name });
  }

  // Puts a suggestion in the place of a name that nobody has.
  replace(name, other) {
    const symbols = this.has(other)
      ? this.list.symbols.filter((one) => one !== name)
      : this.list.symbols.map((one) => (one === name ? other : one));
    this.save(symbols);
    this.element.focus();
  }

  // Moves the active row by so many rows.
  moveActive(step) {
    const quote = this.grid.activeQuote;
    if (quote === null) return;
    if (this.order !== null) {
      this.say("watch.own_order_first");
      return;
    }
    this.moveTo(quote.name, this.list.symbols.indexOf(quote.name) + step);
  }

  moveTo(name, to) {
    const symbols = this.list.symbols.filter((one) => one !== name);
    const at = Math.max(0, Math.min(to, symbols.length));
    symbols.splice(at, 0, name);
    this.save(symbols);
    this.grid.setActive(at);
    const { t } = this.app;
    this.notices.say(t("watch.moved", { name, row: at + 1, rows: symbols.length }));
  }

  save(symbols) {
    this.lists.setSymbols(this.list, symbols);
    this.show(this.list);
    this.app.events.dispatchEvent(new CustomEvent("list"));
  }

  say(key, values) {
    this.notices.show(this.app.t(key, values));
  }

  // Tells the panels which instrument is selected, with what the master knows of it.
  async select(quote) {
    this.selection += 1;
    const turn = this.selection;
    let detail = null;
    if (quote !== null) {
      await Promise.race([quote.settled, new Promise((go) => setTimeout(go, SETTLES_MS))]);
      const { key, symbol, segment, decimals, name } = quote;
      detail = { key, symbol, segment, decimals, name: "", tickSize: null, listedAs: name };
      Object.assign(detail, await this.instrument(quote));
    }
    if (turn !== this.selection) return;
    this.app.events.dispatchEvent(new CustomEvent("select", { detail }));
  }

  async instrument({ key, segment }) {
    if (segment === "") return {};
    if (!this.details.has(key)) {
      try {
        const path = `instruments/${encodeURIComponent(key)}/`;
        const { tick_size, lot_size, latest, ...known } = await this.app.rest.get(path);
        this.details.set(key, { ...known, tickSize: tick_size, lotSize: lot_size });
      } catch {
        return {}; // the panels show what they can
      }
    }
    return this.details.get(key);
  }

  activate(index, { opens = false } = {}) {
    this.grid.setActive(index);
    const quote = this.grid.activeQuote;
    if (quote === null) return;
    this.select(quote);
    if (opens) this.app.events.dispatchEvent(new CustomEvent("open"));
  }

  // -- pointer -------------------------------------------------------------------------------

  listen() {
    const { space } = this.grid;
    const quoteOf = (target) => {
      const id = target.closest(".row")?.id;
      return this.grid.rows.find((row) => row.element.id === id)?.quote ?? null;
    };
    space.addEventListener("click", (event) => {
      const quote = quoteOf(event.target);
      if (quote === null) return;
      const button = event.target.closest("button");
      if (button?.dataset.do === "remove") this.remove(quote.name);
      else if (button?.dataset.do === "replace") this.replace(quote.name, button.dataset.by);
      else {
        const opens = event.detail === 2 || matchMedia("(max-width: 40rem)").matches;
        this.activate(this.grid.quotes.indexOf(quote), { opens });
      }
    });
    space.addEventListener("dragstart", (event) => {
      const quote = quoteOf(event.target);
      if (quote === null || this.order !== null) {
        event.preventDefault();
        if (quote !== null) this.say("watch.own_order_first");
        return;
      }
      this.isDragging = quote.name;
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", quote.name);
    });
    space.addEventListener("dragover", (event) => {
      if (!this.isDragging) return;
      event.preventDefault();
      this.markDrop(this.grid.indexAt(event.clientY));
    });
    space.addEventListener("drop", (event) => {
      if (!this.isDragging) return;
      event.preventDefault();
      this.moveTo(this.isDragging, this.grid.indexAt(event.clientY));
    });
    space.addEventListener("dragend", () => {
      this.isDragging = "";
      this.markDrop(-1);
    });
  }

  markDrop(index) {
    for (const row of this.grid.rows) row.element.classList.toggle("drop", row.index === index);
  }
}
