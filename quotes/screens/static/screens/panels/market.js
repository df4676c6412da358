// What each segment's market is doing, and what it does next.

import { element, write } from "./element.js";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const AGAIN_MS = 3_000; // after a change that was due did not come
const KNOWN = ["open", "pre_open", "closing_auction", "closed", "holiday"];

export class MarketPanel {
  constructor(root, app) {
    this.root = root;
    this.app = app;
    this.statuses = new Map(); // segment -> its status
    this.descriptions = new Map();
    this.ends = [];
    this.isShown = false;
    this.build();
    app.events.addEventListener("prefers", (event) => {
      if (event.detail?.name === "language") this.translate();
    });
  }

  show() {
    if (this.isShown) return;
    this.isShown = true;
    const { client } = this.app;
    const timer = setInterval(() => this.draw(), MINUTE_MS / 4);
    this.ends = [
      client.on("market_status", (status) => this.take(status)),
      client.on("state", ({ state }) => state === "open" && this.read()),
      () => clearInterval(timer),
      () => clearTimeout(this.due),
    ];
    this.read();
    this.describe();
  }

  hide() {
    this.isShown = false;
    for (const end of this.ends) end();
    this.ends = [];
  }

  build() {
    this.root.classList.add("market");
    this.message = element("p", { class: "market-message", role: "status" });
    this.retry = element("button", { type: "button", class: "plain", t: "market.retry" });
    this.retry.addEventListener("click", () => this.read());
    this.body = element("tbody");
    this.table = element(
      "table",
      { class: "market-table" },
      element("caption", { class: "unseen", t: "market.caption" }),
      element(
        "thead",
        {},
        element("tr", {}, ...["segment", "status", "next"].map((name) => element("th", { scope: "col", t: `market.${name}` }))),
      ),
      this.body,
    );
    this.root.append(this.message, this.retry, this.table);
    this.retry.hidden = true;
    this.table.hidden = true;
    this.rows = new Map(); // segment -> its cells
    this.translate();
  }

  translate() {
    for (const one of this.root.querySelectorAll("[data-t]")) write(one, this.app.t(one.dataset.t));
    this.draw();
  }

  async read() {
    const { rest, t } = this.app;
    if (this.statuses.size === 0) {
      this.root.dataset.failed = "true"; // until the first answer
      this.say(t("market.loading"));
    }
    try {
      // Over REST, which says when a segment opens, too.
      const { segments } = await rest.get("market-status/");
      for (const { next_change: change, next_open: open, ...status } of segments) {
        this.statuses.set(status.segment, { ...status, change: momentOf(change), open: momentOf(open) });
      }
      if (this.root.dataset.failed) this.say("");
      delete this.root.dataset.failed;
    } catch (error) {
      this.root.dataset.failed = "true";
      this.say(t("market.failed", { message: error?.message ?? String(error) }), true);
    }
    this.draw();
  }

  async describe() {
    if (this.descriptions.size > 0) return;
    try {
      for (const { code, description } of await this.app.rest.get("segments/")) {
        this.descriptions.set(code, description);
      }
      this.draw();
    } catch {
      // the codes remain
    }
  }

  say(text, canRetry = false) {
    write(this.message, text);
    this.message.hidden = text === "";
    this.retry.hidden = !canRetry;
  }

  // A change that the server announces: it shows at once, and what comes next is read.
  take({ segment, status, name, next_change: change, next_status }) {
    const before = this.statuses.get(segment);
    if (before?.status === status) return;
    this.statuses.set(segment, { segment, status, name, change, next_status, open: before?.open ?? null });
    this.draw();
    this.read();
    if (before !== undefined) this.say(this.app.t("market.changed", { segment, status: this.word(status) }));
  }

  word(status) {
    return KNOWN.includes(status) ? this.app.t(`market.is_${status}`) : status;
  }

  draw() {
    if (!this.isShown) return;
    this.table.hidden = this.statuses.size === 0;
    const now = Date.now() + (this.app.client.clockOffsetMs ?? 0);
    let due = Infinity;
    for (const status of this.statuses.values()) {
      const { code, description, pill, name, next } = this.row(status.segment);
      write(code, status.segment);
      write(description, this.descriptions.get(status.segment) ?? "");
      write(pill, this.word(status.status));
      pill.dataset.status = KNOWN.includes(status.status) ? status.status : "closed";
      write(name, status.name ?? "");
      write(next, this.nextText(status, now));
      if (status.change !== null) due = Math.min(due, status.change - now);
    }
    // The frame of a change comes by itself; after a lost connection it is read.
    clearTimeout(this.due);
    if (due < DAY_MS) this.due = setTimeout(() => this.read(), Math.max(due, 0) + AGAIN_MS);
  }

  row(segment) {
    const found = this.rows.get(segment);
    if (found !== undefined) return found;
    const cells = {
      code: element("span", { class: "market-code" }),
      description: element("span", { class: "market-description" }),
      pill: element("span", { class: "market-pill" }),
      name: element("span", { class: "market-name" }),
      next: element("td"),
    };
    this.body.append(
      element(
        "tr",
        { "data-segment": segment },
        element("th", { scope: "row" }, cells.code, cells.description),
        element("td", {}, cells.pill, cells.name),
        cells.next,
      ),
    );
    this.rows.set(segment, cells);
    return cells;
  }

  // Opens Mon 09:15 IST. Of an open market: Closes 15:30 IST, in 2 h 5 min.
  nextText({ status, change, next_status: next, open }, now) {
    const { t } = this.app;
    const isTrading = status === "open" || status === "closing_auction";
    if (!isTrading && open !== null) return this.timed("market.then_open", open, now);
    if (change === null || !next) return t("market.no_next");
    return this.timed(KNOWN.includes(next) ? `market.then_${next}` : "market.then_other", change, now, next);
  }

  // A text with a moment; within a day it says how long that is.
  timed(key, at, now, status = "") {
    const { t } = this.app;
    const text = t(key, { time: this.when(at, now), status });
    const minutes = Math.ceil((at - now) / MINUTE_MS);
    if (minutes < 1 || minutes > 24 * 60) return text;
    const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
    const span = hours > 0 ? t("market.hours", { hours, minutes: rest }) : t("market.minutes", { minutes: rest });
    return `${text}, ${span}`;
  }

  // The time alone today, with the weekday within a week, else with the date.
  when(at, now) {
    const code = this.app.preferences.language === "hi" ? "hi-IN-u-nu-latn" : "en-GB";
    const day = (ms) => Math.floor((ms + 19_800_000) / 86_400_000);
    const days = day(at) - day(now);
    const date = days === 0 ? {} : days < 7 ? { weekday: "short" } : { day: "numeric", month: "short" };
    const format = new Intl.DateTimeFormat(code, {
      timeZone: "Asia/Kolkata",
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
      ...date,
    });
    return format.format(at).replace(",", "");
  }
}

function momentOf(text) {
  return text === null || text === undefined ? null : Date.parse(text);
}
