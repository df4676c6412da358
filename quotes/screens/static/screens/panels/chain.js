// The option chain of an instrument: strikes around the money, live, which follow the money.

import { element, write } from "./element.js";
import { ChainTable } from "./chain/table.js";
import { chainOf } from "./chain/underlying.js";

const STRIKES = [5, 10, 20, 40];
const GREEKS_EVERY_MS = 4_000;
const DAY_MS = 86_400_000;

export class ChainPanel {
  constructor(root, app) {
    this.root = root;
    this.app = app;
    this.instrument = null;
    this.chain = null; // as REST gave it
    this.turn = 0;
    this.ends = [];
    this.money = null;
    this.spot = null; // the underlying's latest tick
    this.greeks = null; // of the last answer
    const around = app.preferences.get("chain.around");
    this.around = STRIKES.includes(around) ? around : 10;
    this.showGreeks = app.preferences.get("chain.greeks") === true;
    this.hasGreeks = true;
    this.build();
    app.events.addEventListener("prefers", (event) => {
      if (event.detail?.name === "language") this.translate();
    });
    // Who logs in may see what was refused.
    app.client.on("authenticated", () => {
      if (this.instrument !== null && this.root.dataset.state === "error") this.find();
    });
  }

  show(instrument) {
    if (this.instrument?.key === instrument.key) return;
    this.instrument = instrument;
    this.find();
  }

  hide() {
    this.stop();
    this.instrument = null;
  }

  // -- the page ------------------------------------------------------------------------------

  build() {
    const { root } = this;
    root.classList.add("chain");
    this.expiry = element("select", { id: "chain-expiry" });
    this.expiry.addEventListener("change", () => this.open({ ...this.terms, expiry: this.expiry.value }));
    this.count = element("select", { id: "chain-around" }, ...STRIKES.map((n) => element("option", { value: String(n), text: `± ${n}` })));
    this.count.value = String(this.around);
    this.count.addEventListener("change", () => {
      this.around = Number(this.count.value);
      this.app.preferences.set("chain.around", this.around);
      this.open(this.terms);
    });
    this.greeksBox = element("input", { type: "checkbox", id: "chain-greeks" });
    this.greeksBox.checked = this.showGreeks;
    this.greeksBox.addEventListener("change", () => {
      this.showGreeks = this.greeksBox.checked;
      this.app.preferences.set("chain.greeks", this.showGreeks);
      this.setColumns();
      this.centre();
    });
    this.title = element("p", { class: "chain-title" }, element("strong"), element("span", { class: "chain-price" }), element("span", { class: "chain-change" }));
    this.facts = element("p", { class: "chain-facts" });
    this.message = element("p", { class: "chain-message", role: "status" });
    this.retry = element("button", { type: "button", class: "plain chain-retry", t: "chain.retry" });
    this.retry.addEventListener("click", () => this.find());
    this.scroll = element("div", { class: "chain-scroll", tabindex: "0", role: "region", tLabel: "chain.caption" });
    this.table = new ChainTable(this.scroll, this.app);
    this.tools = element(
      "div",
      { class: "chain-tools" },
      element("label", { for: "chain-expiry", t: "chain.expiry" }),
      this.expiry,
      element("label", { for: "chain-around", t: "chain.strikes" }),
      this.count,
      element("label", { class: "chain-check" }, this.greeksBox, element("span", { t: "chain.greeks" })),
    );
    root.append(this.title, this.tools, this.facts, this.message, this.retry, this.scroll);
    this.setColumns();
    this.translate();
    this.say("loading");
  }

  translate() {
    const { t } = this.app;
    for (const one of this.root.querySelectorAll("[data-t]")) write(one, t(one.dataset.t));
    for (const one of this.root.querySelectorAll("[data-t-label]")) one.setAttribute("aria-label", t(one.dataset.tLabel));
    this.table.translate();
    this.writeExpiries();
    this.writeFacts();
  }

  setColumns() {
    this.table.setColumns({ hasGreeks: this.hasGreeks, showGreeks: this.showGreeks });
    this.table.setMoney(this.money);
    if (this.greeks) this.table.setGreeks(this.greeks.options);
  }

  // state: loading, ready, empty, error.
  say(state, text = "", canRetry = false) {
    this.root.dataset.state = state;
    write(this.message, text);
    this.message.hidden = text === "";
    this.retry.hidden = !canRetry;
    const hasChain = this.chain !== null;
    for (const one of [this.title, this.tools, this.facts, this.scroll]) one.hidden = !hasChain;
  }

  // -- finding and opening a chain -----------------------------------------------------------

  async find() {
    this.stop();
    this.chain = null;
    const { turn } = this;
    this.say("loading", this.app.t("chain.loading"));
    try {
      const terms = await chainOf(this.app.rest, this.instrument);
      if (turn === this.turn) await this.open(terms);
    } catch (error) {
      if (turn === this.turn) this.fail(error);
    }
  }

  fail(error) {
    const { t } = this.app;
    const name = this.instrument?.key ?? "";
    const code = error?.code;
    if (code === 404) this.say("empty", t("chain.none", { name }));
    else if (code === 401 || code === 403) this.say("error", t("chain.refused", { message: error.message }), true);
    else this.say("error", t("chain.failed", { message: error?.message ?? String(error) }), true);
  }

  async open(terms) {
    this.stop();
    const { turn } = this;
    this.terms = terms;
    const { underlying, expiry, segment } = terms;
    try {
      this.chain = await this.readChain(terms);
    } catch (error) {
      if (turn === this.turn) this.fail(error);
      return;
    }
    if (turn !== this.turn) return;
    this.terms = { ...terms, expiry: this.chain.expiry, segment: this.chain.segment };
    this.money = this.chain.at_the_money ?? this.middle();
    this.table.clear();
    this.greeks = null;
    this.spot = null;
    this.say("ready");
    this.writeExpiries();
    this.drawStrikes();
    this.writeTitle();
    this.writeFacts();
    this.centre();
    this.subscribe(turn, { underlying, expiry, segment });
    this.readGreeks(turn);
  }

  // An option's own expiry may be past in the master: then the nearest one is shown.
  async readChain({ underlying, segment, expiry }) {
    const { rest } = this.app;
    try {
      return await rest.optionChain(underlying, { segment, expiry });
    } catch (error) {
      if (error?.code !== 404 || (expiry === undefined && segment === undefined)) throw error;
      return rest.optionChain(underlying);
    }
  }

  subscribe(turn) {
    const { client } = this.app;
    const { chain } = this;
    const live = client.subscribeOptionChain(chain.underlying, {
      expiry: chain.expiry,
      segment: chain.segment,
      strikesAround: this.around,
      follow: true,
      mode: "quote",
    });
    this.ends = [
      live.on("price", (tick) => this.table.take(tick.name, tick)),
      live.on("chain", (frame) => this.follow(frame)),
      live.on("rejected", (error) => this.say("ready", this.app.t("chain.refused", { message: error.message }))),
      () => live.close(),
    ];
    const spot = chain.underlying_price?.key;
    if (spot) {
      const prices = client.subscribe([spot], { mode: "quote" });
      this.ends.push(
        prices.on("price", (tick) => {
          this.spot = tick;
          this.writeTitle();
        }),
        () => prices.close(),
      );
    }
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") this.readGreeks(turn);
    }, GREEKS_EVERY_MS);
    this.ends.push(() => clearInterval(timer));
  }

  stop() {
    this.turn += 1;
    for (const end of this.ends) end();
    this.ends = [];
  }

  // The money moved: the strikes around it are others.
  follow(frame) {
    const money = Number(frame.strike);
    if (!Number.isFinite(money) || money === this.money) return;
    this.money = money;
    this.drawStrikes();
    this.writeFacts();
    this.readGreeks(this.turn);
  }

  async readGreeks(turn) {
    if (this.isReadingGreeks) return;
    this.isReadingGreeks = true;
    const { underlying, expiry, segment } = this.chain;
    try {
      // A strike more on either side: the money may be at one that REST does not know yet.
      const answer = await this.app.rest.get(`instruments/${encodeURIComponent(underlying)}/greeks/`, {
        expiry,
        segment,
        strikes_around: this.around + 1,
      });
      if (turn !== this.turn) return;
      this.greeks = answer;
      this.table.setGreeks(answer.options);
      this.writeFacts();
    } catch {
      // the prices go on; the next try may succeed
    } finally {
      this.isReadingGreeks = false;
      if (turn !== this.turn && this.ends.length > 0) this.readGreeks(this.turn);
    }
  }

  // -- drawing -------------------------------------------------------------------------------

  middle() {
    const { strikes } = this.chain;
    return strikes[(strikes.length - 1) >> 1].strike;
  }

  drawStrikes() {
    const { strikes } = this.chain;
    const at = Math.max(0, strikes.findIndex(({ strike }) => strike === this.money));
    const shown = strikes.slice(Math.max(0, at - this.around), at + this.around + 1);
    this.table.setStrikes(shown, this.instrument.decimals ?? 2);
    this.table.setMoney(this.money);
    if (this.greeks) this.table.setGreeks(this.greeks.options);
    this.root.dataset.money = String(this.money);
    this.root.dataset.strikes = String(shown.length);
  }

  // Brings the money to the middle, and on narrow screens the strikes.
  centre() {
    const { scroll } = this;
    const row = this.table.rows.get(this.money);
    if (row === undefined) return;
    const { cell } = row;
    scroll.scrollTop = cell.offsetTop - (scroll.clientHeight - cell.offsetHeight) / 2;
    const calls = row.call.byName.price;
    scroll.scrollLeft = calls.offsetLeft + (calls.offsetWidth * 2 + cell.offsetWidth - scroll.clientWidth) / 2;
  }

  writeExpiries() {
    if (this.chain === null) return;
    const today = new Date(Date.now() + 19_800_000).toISOString().slice(0, 10);
    const days = this.chain.expiries.filter((day) => day >= today || day === this.chain.expiry);
    this.expiry.replaceChildren(...days.map((day) => element("option", { value: day, text: this.app.format.date(Date.parse(`${day}T12:00:00+05:30`)) })));
    this.expiry.value = this.chain.expiry;
  }

  writeTitle() {
    const { format } = this.app;
    const price = this.spot ?? this.chain.underlying_price;
    const [name, shown, change] = this.title.children;
    write(name, this.chain.underlying_price?.key ?? this.chain.underlying);
    write(shown, price ? format.price(price.price, 2) : "");
    const percent = price?.change_pct === undefined ? "" : format.percent(price.change_pct);
    write(change, percent);
    change.dataset.tone = percent.startsWith("+") ? "up" : percent.startsWith("−") ? "down" : "";
  }

  writeFacts() {
    const { t, format } = this.app;
    if (this.chain === null) return;
    const parts = [];
    if (this.chain.underlying_price === null) parts.push(t("chain.no_money"));
    const { greeks } = this;
    if (greeks !== null) {
      const left = Date.parse(greeks.expires) - Date.now();
      const at = Date.parse(greeks.expires);
      const time = `${format.date(at)}, ${format.time(at).slice(0, 5)}`;
      parts.push(left > 0 ? t("chain.expires", { time, days: (left / DAY_MS).toFixed(1) }) : t("chain.expired", { time }));
      if (greeks.underlying_price !== null) {
        const model = greeks.model === "black-76" ? "Black-76" : "Black-Scholes";
        parts.push(t("chain.model", { model, name: greeks.underlying_price.key, rate: greeks.rate }));
      } else {
        parts.push(t("chain.no_greeks"));
      }
    }
    write(this.facts, parts.join(" · "));
  }
}
