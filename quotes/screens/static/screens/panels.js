// What opens beside the watch list: one panel at a time, its module and styles loaded when a
// person first opens it.

const MODULES = { chart: "ChartPanel", chain: "ChainPanel", depth: "DepthPanel", market: "MarketPanel" };
const NO_INSTRUMENT = ["market"];

export class Panels {
  // aside: the element with the tabs and the sections of all panels.
  constructor(aside, app) {
    this.aside = aside;
    this.app = app;
    this.instrument = null;
    this.made = new Map(); // name -> panel
    this.current = "";
    this.turn = 0;
    this.tabs = [...aside.querySelectorAll("[data-panel]")];
    for (const tab of this.tabs) {
      tab.addEventListener("click", () => this.open(tab.dataset.panel));
      tab.addEventListener("keydown", (event) => this.move(event, tab));
    }
    aside.querySelector(".close").addEventListener("click", () => this.close());
    app.events.addEventListener("select", (event) => this.select(event.detail));
  }

  get isOpen() {
    return this.current !== "";
  }

  async select(instrument) {
    this.instrument = instrument;
    this.aside.querySelector(".instrument").textContent = instrument?.key ?? "";
    const panel = this.made.get(this.current);
    if (panel !== undefined && !NO_INSTRUMENT.includes(this.current)) this.showIn(panel);
  }

  // Opens a panel, in the place of the one that is open.
  async open(name) {
    if (!(name in MODULES)) return;
    if (this.current !== name) this.hideCurrent();
    this.current = name;
    this.aside.hidden = false;
    document.body.classList.add("with-panel");
    for (const tab of this.tabs) {
      const isCurrent = tab.dataset.panel === name;
      tab.setAttribute("aria-selected", String(isCurrent));
      tab.tabIndex = isCurrent ? 0 : -1;
    }
    this.section(name).hidden = false;
    this.app.preferences.set("panel", name);
    this.turn += 1;
    const turn = this.turn;
    const panel = await this.make(name);
    if (turn === this.turn && panel !== undefined) this.showIn(panel);
  }

  close() {
    this.hideCurrent();
    this.turn += 1;
    this.aside.hidden = true;
    document.body.classList.remove("with-panel");
    this.app.preferences.set("panel", "");
    this.app.events.dispatchEvent(new CustomEvent("panel-closed"));
  }

  hideCurrent() {
    if (!this.current) return;
    this.section(this.current).hidden = true;
    this.made.get(this.current)?.hide();
    this.current = "";
  }

  // Shows what is open once more: its subscriptions ended with the connection of another user.
  renew() {
    const panel = this.made.get(this.current);
    if (panel === undefined) return;
    panel.hide();
    this.showIn(panel);
  }

  section(name) {
    return document.getElementById(`panel-${name}`);
  }

  showIn(panel) {
    const root = this.section(this.current).querySelector(".panel-root");
    const missing = this.instrument === null && !NO_INSTRUMENT.includes(this.current);
    this.section(this.current).querySelector(".panel-hint").hidden = !missing;
    root.hidden = missing;
    if (missing) panel.hide();
    else panel.show(this.instrument);
  }

  async make(name) {
    const found = this.made.get(name);
    if (found !== undefined) return found;
    const section = this.section(name);
    try {
      const style = document.createElement("link");
      style.rel = "stylesheet";
      style.href = new URL(`./panels/${name}.css`, import.meta.url).href;
      document.head.append(style);
      const module = await import(`./panels/${name}.js`);
      if (!this.made.has(name)) {
        this.made.set(name, new module[MODULES[name]](section.querySelector(".panel-root"), this.app));
      }
    } catch (error) {
      console.error(error);
      const root = section.querySelector(".panel-root");
      root.textContent = this.app.t("panels.missing");
    }
    return this.made.get(name);
  }

  // Arrows go from tab to tab.
  move(event, tab) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    const next = this.tabs.at((this.tabs.indexOf(tab) + step) % this.tabs.length);
    next.focus();
    this.open(next.dataset.panel);
    event.preventDefault();
  }
}
