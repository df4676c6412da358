// What the page says of its connection: state, feed, latency, how new its prices are. Each change
// of state is said once, politely; seconds that count down are for the eye alone.

const PING_EVERY_MS = 10_000;
const FRESH = ["live", "quiet"];

export class Connection {
  // changed(isConnected); newest(): the time of the newest price, count(): of symbols.
  constructor(app, { changed, newest, count }) {
    this.app = app;
    this.client = app.client;
    this.changed = changed;
    this.newest = newest;
    this.count = count;
    this.needsLogin = false;
    this.everOpen = false;
    this.shown = "";
    this.skipped = 0;
    this.error = "";
    this.retryAt = 0;
    const $ = (id) => document.getElementById(id);
    this.elements = {
      state: $("state"),
      name: $("state-name"),
      wait: $("state-wait"),
      connect: $("connect"),
      banner: $("banner"),
      asOf: $("as-of"),
      latency: $("latency"),
      counted: $("counted"),
      conflated: $("conflated"),
    };
    this.elements.connect.addEventListener("click", () => this.client.connect());
    this.client.on("state", (change) => this.take(change));
    this.client.on("feed", (feed) => {
      this.feed = feed;
      this.draw();
    });
    this.client.on("conflated", ({ skipped }) => {
      this.skipped += skipped;
      this.draw();
    });
    setInterval(() => this.drawFacts(), 1000);
    setInterval(() => this.ping(), PING_EVERY_MS);
  }

  take({ state, retryAt, error }) {
    const wasOpen = this.isOpen;
    this.retryAt = retryAt ?? 0;
    this.error = error?.message ?? "";
    this.isOpen = state === "open";
    this.clientState = state;
    if (this.isOpen) {
      this.everOpen = true;
      this.feed = this.client.feed ?? this.feed;
      this.ping();
    }
    this.draw();
    if (this.isOpen !== Boolean(wasOpen)) this.changed(this.isOpen);
  }

  // A price moved: a quiet feed does not do that.
  moved() {
    if (this.feed !== "quiet") return;
    this.feed = "live";
    this.draw();
  }

  get state() {
    if (this.needsLogin) return "login";
    if (this.isOpen) return this.feed ?? "quiet";
    return this.clientState ?? "connecting";
  }

  ping() {
    if (this.isOpen) this.client.ping().then(() => this.drawFacts(), () => {});
  }

  draw() {
    const { t } = this.app;
    const { state, elements } = this;
    setText(elements.name, t(`state.${state}`));
    elements.state.dataset.state = state;
    elements.connect.hidden = state !== "waiting" && state !== "closed";
    const reason = this.reason(state);
    setText(elements.banner, reason);
    elements.banner.hidden = reason === "" || state === "quiet";
    elements.banner.dataset.state = state;
    document.body.classList.toggle("stale", !FRESH.includes(state));
    if (this.shown !== state) {
      if (FRESH.includes(state) && ["waiting", "closed", "down"].includes(this.lasting)) {
        document.getElementById("announcer").textContent = t("state.back");
      }
      this.shown = state;
      if (state !== "connecting") this.lasting = state;
    }
    this.drawFacts();
  }

  reason(state) {
    const { t } = this.app;
    if (state === "waiting") return t(this.everOpen ? "state.waiting_why" : "state.never_open");
    if (state === "connecting") {
      return this.lasting === "waiting" && this.everOpen ? t("state.waiting_why") : "";
    }
    if (state === "closed") return t("state.closed_why", { message: this.error });
    return state === "down" || state === "quiet" ? t(`state.${state}_why`) : "";
  }

  drawFacts() {
    const { t, format } = this.app;
    const { elements } = this;
    const seconds = Math.max(1, Math.ceil((this.retryAt - Date.now()) / 1000));
    const waits = this.state === "waiting" && this.retryAt > 0;
    setText(elements.wait, waits ? t("state.in", { n: seconds }) : "");
    const newest = this.newest();
    setText(elements.asOf, newest ? t("state.as_of", { time: format.dateTime(newest) }) : "");
    const { latencyMs } = this.client;
    const isKnown = this.isOpen && latencyMs !== null && latencyMs !== undefined;
    setText(elements.latency, isKnown ? t("state.latency", { n: Math.round(latencyMs) }) : "");
    setText(elements.counted, t("state.symbols", { n: this.count() }));
    elements.conflated.hidden = this.skipped === 0;
    setText(
      elements.conflated,
      this.skipped ? t("state.conflated", { n: format.quantity(this.skipped) }) : "",
    );
    elements.conflated.title = t("state.conflated_why");
  }
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
