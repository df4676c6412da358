// The chart of one instrument: candles or a line with volume, past ones over REST, then live ones.

import { element, write } from "./element.js";
import { Candles } from "./chart/candles.js";
import { ChartClock, chartTime } from "./chart/clock.js";
import { Drawing } from "./chart/drawing.js";
import { History, INTERVALS } from "./chart/history.js";
import { loadLibrary } from "./chart/library.js";
import { explainEmpty, previousClose } from "./chart/reasons.js";

const KINDS = ["candles", "line"];
const FIRST_CANDLES = 200;
const PAGE_BARS = 20;
const DAY_MS = 86_400_000;

export class ChartPanel {
  constructor(root, app) {
    this.root = root;
    this.app = app;
    this.instrument = null;
    this.candles = new Candles();
    this.drawing = null;
    this.turn = 0; // what was begun in an earlier turn is dropped
    this.ends = []; // functions that end subscriptions
    this.pointed = -1;
    this.clock = new ChartClock(() => app.preferences.language);
    const interval = app.preferences.get("chart.interval");
    this.interval = interval in INTERVALS ? interval : "5m";
    const kind = app.preferences.get("chart.kind");
    this.kind = KINDS.includes(kind) ? kind : "candles";
    this.build();
    app.events.addEventListener("prefers", (event) => this.prefer(event.detail?.name));
  }

  show(instrument) {
    if (this.instrument?.key === instrument.key) return;
    this.instrument = instrument;
    this.decimals = Number.isInteger(instrument.decimals) ? instrument.decimals : 2;
    this.start();
  }

  hide() {
    this.stop();
    this.instrument = null;
  }

  // -- the page ------------------------------------------------------------------------------

  build() {
    const { root } = this;
    root.classList.add("chart");
    this.intervalButtons = Object.keys(INTERVALS).map((interval) =>
      this.button(`chart.interval_${interval}`, () => this.setInterval(interval), interval),
    );
    this.kindButtons = KINDS.map((kind) =>
      this.button(`chart.kind_${kind}`, () => this.setKind(kind), kind),
    );
    const newest = this.button("chart.newest", () => this.drawing?.showNewest());
    this.legend = element("p", { class: "chart-legend" });
    this.warning = element("p", { class: "chart-warning" });
    this.warning.hidden = true;
    this.canvas = element("div", { class: "chart-canvas", "aria-hidden": "true" });
    this.message = element("div", { class: "chart-message", role: "status" });
    this.summary = element("p", { class: "unseen", id: "chart-summary" });
    this.spoken = element("p", { class: "unseen", "aria-live": "polite" });
    this.area = element("div", {
      class: "chart-area",
      role: "application",
      tabindex: "0",
      "aria-describedby": "chart-summary chart-keys",
    });
    this.area.append(this.canvas);
    this.area.addEventListener("keydown", (event) => this.key(event));
    this.area.addEventListener("blur", () => this.unpoint());
    root.append(
      element(
        "div",
        { class: "chart-tools" },
        element("div", { role: "group", class: "chart-choices", tLabel: "chart.interval" }, ...this.intervalButtons),
        element("div", { role: "group", class: "chart-choices", tLabel: "chart.kind" }, ...this.kindButtons),
        newest,
      ),
      this.legend,
      element("div", { class: "chart-place" }, this.area, this.message, this.warning),
      this.summary,
      element("p", { class: "unseen", id: "chart-keys", t: "chart.keys" }),
      this.spoken,
      element(
        "p",
        { class: "chart-notice" },
        element("span", { t: "chart.by" }),
        " ",
        element("a", { href: "https://www.tradingview.com/", target: "_blank", rel: "noopener", text: "TradingView Lightweight Charts™" }),
        " ",
        element("a", {
          href: new URL("../notices/lightweight-charts.txt", import.meta.url).href,
          target: "_blank",
          text: "© 2025 TradingView, Inc.",
        }),
      ),
    );
    this.translate();
  }

  button(key, handler, value = "") {
    const made = element("button", { type: "button", class: "plain", t: key, "data-value": value });
    made.addEventListener("click", handler);
    return made;
  }

  translate() {
    const { t } = this.app;
    for (const one of this.root.querySelectorAll("[data-t]")) write(one, t(one.dataset.t));
    for (const one of this.root.querySelectorAll("[data-t-label]")) {
      one.setAttribute("aria-label", t(one.dataset.tLabel));
    }
    this.press();
    this.describe();
  }

  press() {
    const chosen = [this.interval, this.kind];
    for (const one of [...this.intervalButtons, ...this.kindButtons]) {
      one.setAttribute("aria-pressed", String(chosen.includes(one.dataset.value)));
    }
  }

  prefer(name) {
    if (name === "theme") this.drawing?.setColors();
    if (name === "language") {
      this.translate();
      this.drawing?.setPreviousClose(this.previousClose, this.app.t("chart.previous_close"));
      this.drawing?.setColors();
    }
  }

  setInterval(interval) {
    if (interval === this.interval) return;
    this.interval = interval;
    this.app.preferences.set("chart.interval", interval);
    this.press();
    if (this.instrument !== null) this.start();
  }

  setKind(kind) {
    this.kind = kind;
    this.app.preferences.set("chart.kind", kind);
    this.press();
    this.drawing?.setKind(kind);
  }

  // Shows a sentence over the chart, with a button if there is something to do.
  say(state, text = "", retry = null) {
    this.root.dataset.state = state;
    this.message.replaceChildren();
    this.message.hidden = text === "";
    if (text) this.message.append(element("p", { text }));
    if (retry !== null) {
      const button = element("button", { type: "button", class: "plain", text: this.app.t("chart.retry") });
      button.addEventListener("click", retry);
      this.message.append(button);
    }
  }

  // -- candles -------------------------------------------------------------------------------

  start() {
    this.stop();
    const { turn, interval } = this;
    const { key } = this.instrument;
    const { client } = this.app;
    this.candles = new Candles();
    this.history = new History(this.app.rest, key, interval);
    this.pastFailed = false;
    this.previousClose = undefined;
    this.lastPrice = null;
    this.liveError = null;
    this.warning.hidden = true;
    this.isKnown = true;
    this.say("loading", this.app.t("chart.loading"));
    this.drawAll(true);
    // Live candles first: what comes while past ones are read is joined with them by their start.
    const live = client.subscribe([key], { candles: interval });
    const prices = client.subscribe([key], { mode: "quote" });
    this.ends = [
      live.on("candle", (candle) => this.takeLive(candle)),
      live.on("subscribed", ({ known }) => (this.isKnown = known)),
      live.on("rejected", (error) => this.refuse(error)),
      () => live.close(),
      prices.on("price", (tick) => this.takePrice(tick)),
      () => prices.close(),
      client.on("state", ({ state }) => this.takeState(state)),
    ];
    this.wasOpen = client.state === "open";
    this.loadFirst(turn);
    this.makeDrawing(turn);
  }

  stop() {
    this.turn += 1;
    for (const end of this.ends) end();
    this.ends = [];
    this.isReading = false;
    this.unpoint();
  }

  async makeDrawing(turn) {
    if (this.drawing !== null) return;
    try {
      const library = await loadLibrary();
      if (turn !== this.turn || this.drawing !== null) return;
      this.drawing = new Drawing(library, this.canvas, this.clock, {
        price: (number) => this.app.format.price(number, this.decimals),
        volume: (number) => this.app.format.quantity(Math.round(number)),
      });
    } catch {
      if (turn !== this.turn) return;
      this.root.dataset.library = "missing";
      this.sayMissing();
      return;
    }
    delete this.root.dataset.library;
    this.drawing.setKind(this.kind);
    this.drawing.onCrosshair((position) => this.point(position));
    this.drawing.onBeginning(() => this.loadOlder());
    this.drawAll(true);
    if (this.isReading) return;
    if (this.candles.length > 0) this.ready();
    else this.sayEmpty(turn);
  }

  sayMissing() {
    this.say("missing", this.app.t("chart.missing", { command: "make charts", other: "manage.py get_charts" }), () => {
      this.say("loading", this.app.t("chart.loading"));
      this.makeDrawing(this.turn);
    });
  }

  async loadFirst(turn) {
    await this.read(turn, async () => {
      while (this.candles.length < FIRST_CANDLES && !this.history.isWhole) {
        const found = await this.history.older(Date.now());
        if (turn !== this.turn) return;
        this.candles.addPast(found);
      }
      this.drawAll(true);
      if (this.candles.length > 0) this.ready();
      else await this.sayEmpty(turn);
    });
  }

  async loadOlder() {
    const { turn } = this;
    if (this.isReading || this.pastFailed || this.history.isWhole || this.candles.length === 0) return;
    await this.read(turn, async () => {
      const found = await this.history.older(Date.now());
      if (turn === this.turn && this.candles.addPast(found)) this.drawAll();
    });
  }

  // After a lost connection: reads what was missed, and the last candles again.
  async loadMissed() {
    const { turn } = this;
    const from = this.candles.last?.start;
    if (from === undefined) return this.loadFirst(turn);
    const back = INTERVALS[this.interval].minutes * 2 * 60_000;
    await this.read(turn, async () => {
      const found = await this.history.range(from - back, Date.now() + DAY_MS);
      if (turn === this.turn && this.candles.addPast(found)) this.drawAll();
    });
  }

  // Carries out a reading; a failure is shown, and can be tried again.
  async read(turn, reading) {
    this.isReading = true;
    this.root.setAttribute("aria-busy", "true");
    try {
      await reading();
      this.pastFailed = false;
    } catch (error) {
      if (turn !== this.turn) return;
      this.pastFailed = true;
      const code = error?.code;
      const refused = code === 401 || code === 403;
      const text = refused
        ? this.app.t("chart.refused", { message: error.message })
        : this.app.t("chart.failed", { message: error?.message ?? String(error) });
      this.say("error", text, () => {
        this.say("loading", this.app.t("chart.loading"));
        this.pastFailed = false;
        if (this.candles.length > 0) this.ready();
        this.loadFirst(this.turn);
      });
    } finally {
      if (turn === this.turn) {
        this.isReading = false;
        this.root.setAttribute("aria-busy", "false");
      }
    }
  }

  ready() {
    if (this.root.dataset.library === "missing") this.sayMissing();
    else if (!this.pastFailed) this.say("ready");
    this.describe();
  }

  async sayEmpty(turn) {
    const text = await explainEmpty(this.app, {
      key: this.instrument.key,
      isKnown: this.isKnown,
      liveError: this.liveError,
    });
    if (turn === this.turn && this.candles.length === 0) this.say("empty", text, () => this.start());
  }

  takeLive(candle) {
    const change = this.candles.addLive(candle);
    if (!change) return;
    if (this.candles.length === 1) {
      this.drawAll(true);
      this.ready();
    } else if (change === "last" && !this.isReading) {
      this.drawing?.drawLast(this.candles);
      this.describe();
    } else {
      this.drawAll();
    }
  }

  takeState(state) {
    if (state === "open" && !this.wasOpen && this.hadLoss) this.loadMissed();
    if (state !== "open" && this.wasOpen) this.hadLoss = true;
    this.wasOpen = state === "open";
  }

  // Live candles are refused, to people who see prices late, for example: past ones may remain.
  refuse(error) {
    this.liveError = error;
    write(this.warning, this.app.t("chart.only_past", { message: error.message }));
    this.warning.hidden = false;
    if (this.candles.length === 0 && !this.isReading) this.sayEmpty(this.turn);
    this.describe();
  }

  async takePrice(tick) {
    const isFirst = this.lastPrice === null;
    this.lastPrice = tick;
    if (tick.prev_close !== undefined) {
      this.setPreviousClose(Number(tick.prev_close));
    } else if (isFirst) {
      const { turn } = this;
      const found = await previousClose(this.app.rest, tick, this.instrument.key);
      if (turn === this.turn && this.previousClose === undefined) this.setPreviousClose(found);
    }
  }

  setPreviousClose(price) {
    if (price === this.previousClose || !Number.isFinite(price)) return;
    this.previousClose = price;
    this.root.dataset.previousClose = String(price);
    this.drawing?.setPreviousClose(price, this.app.t("chart.previous_close"));
  }

  // -- drawing -------------------------------------------------------------------------------

  drawAll(isNew = false) {
    if (this.drawing !== null) {
      this.drawing.setMinMove(Number(this.instrument.tickSize) || 10 ** -this.decimals);
      this.drawing.draw(this.candles, { interval: this.interval, isNew });
      this.drawing.setPreviousClose(this.previousClose, this.app.t("chart.previous_close"));
      this.root.dataset.breaks = String(this.drawing.breaks.breaks.length);
    }
    this.describe();
  }

  // Writes the legend and the text for screen readers, and what tests read.
  describe() {
    const { candles, root } = this;
    root.dataset.candles = String(candles.length);
    root.dataset.firstStart = String(candles.first?.start ?? "");
    root.dataset.lastStart = String(candles.last?.start ?? "");
    const { t, format } = this.app;
    const name = this.instrument?.key ?? "";
    const interval = t(`chart.interval_${this.interval}`);
    this.area.setAttribute("aria-label", t("chart.label", { name, interval }));
    this.writeLegend();
    if (candles.length === 0) {
      write(this.summary, "");
      return;
    }
    const price = (number) => format.price(number, this.decimals);
    const closes = candles.rows;
    write(
      this.summary,
      t("chart.summary", {
        n: format.quantity(candles.length),
        interval,
        from: format.dateTime(candles.first.start),
        to: format.dateTime(candles.last.start),
        close: price(candles.last.close),
        high: price(closes.reduce((most, row) => Math.max(most, row.high), -Infinity)),
        low: price(closes.reduce((least, row) => Math.min(least, row.low), Infinity)),
      }),
    );
  }

  writeLegend() {
    const text = this.legendParts();
    if (text === null) {
      this.legend.replaceChildren();
      return;
    }
    if (this.legend.childElementCount === 0) {
      this.legend.append(
        ...text.map(([label]) =>
          element("span", { class: "chart-value" }, element("span", { class: "chart-name", text: label }), element("span")),
        ),
      );
    }
    for (const [at, [label, value, tone]] of text.entries()) {
      const [name, shown] = this.legend.children[at].children;
      write(name, label);
      write(shown, value);
      shown.dataset.tone = tone;
    }
  }

  // Label, value and tone (up, down or "") of each part of the legend; null without candles.
  legendParts() {
    const position = this.pointed >= 0 && this.pointed < this.candles.length ? this.pointed : this.candles.length - 1;
    const row = this.candles.rows[position];
    if (row === undefined) return null;
    const { t, format } = this.app;
    const before = this.candles.rows[position - 1]?.close ?? row.open;
    const change = row.close - before;
    const tone = change > 0 ? "up" : change < 0 ? "down" : "";
    const price = (number) => format.price(number, this.decimals);
    const percent = before ? ` (${format.percent((change / Math.abs(before)) * 100)})` : "";
    return [
      ["", this.clock.moment(chartTime(row.start), this.interval === "1d"), ""],
      [t("chart.open"), price(row.open), ""],
      [t("chart.high"), price(row.high), ""],
      [t("chart.low"), price(row.low), ""],
      [t("chart.close"), price(row.close), tone],
      [t("chart.change"), `${format.change(Number(change.toFixed(8)), this.decimals)}${percent}`, tone],
      [t("chart.volume"), row.volume === null ? "–" : format.quantity(row.volume), ""],
    ];
  }

  // -- crosshair and keys --------------------------------------------------------------------

  point(position) {
    if (position === this.pointed) return;
    this.pointed = position;
    this.writeLegend();
  }

  unpoint() {
    this.drawing?.unpoint();
    this.point(-1);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.drawing === null) return;
    const last = this.candles.length - 1;
    const from = this.pointed < 0 ? last + 1 : this.pointed;
    const moves = {
      ArrowLeft: from - 1,
      ArrowRight: from + 1,
      PageUp: from - PAGE_BARS,
      PageDown: from + PAGE_BARS,
      Home: 0,
      End: last,
    };
    if (event.key in moves && last >= 0) {
      const position = Math.min(Math.max(moves[event.key], 0), last);
      this.drawing.point(position);
      this.point(position);
      const parts = this.legendParts();
      write(this.spoken, parts.map(([label, value]) => `${label} ${value}`.trim()).join(", "));
    } else if (event.key === "+" || event.key === "=") {
      this.drawing.zoom(0.8);
    } else if (event.key === "-") {
      this.drawing.zoom(1.25);
    } else if (event.key === "0") {
      this.drawing.showNewest();
    } else if (event.key === "Escape" && this.pointed >= 0) {
      this.unpoint();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}
