// Finding instruments to add: suggestions by the beginning of a symbol or by words, best first.

import { namesIn } from "./address.js";

const PAUSE_MS = 140;
const MOST = 12;
const KINDS = { INDEX: 0, EQ: 1, FUT: 2 };

export class Search {
  // add(names): adds them and returns how many are new; has(key): whether the list has it.
  constructor(form, app, { add, has }) {
    this.input = form.querySelector("input");
    this.list = form.querySelector("[role=listbox]");
    this.status = form.querySelector("[role=status]");
    this.session = app.session;
    this.t = app.t;
    this.add = add;
    this.has = has;
    this.options = [];
    this.chosen = -1;
    this.searched = ""; // the text that the options are for
    this.awaitsEnter = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    this.input.addEventListener("input", () => this.changed());
    this.input.addEventListener("keydown", (event) => this.press(event));
    this.input.addEventListener("focus", () => this.changed());
    this.input.addEventListener("blur", () => this.close());
    // Before the field loses the focus to the list.
    this.list.addEventListener("mousedown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option !== null) this.take(Number(option.dataset.at));
    });
  }

  focus() {
    this.input.focus();
    this.input.select();
  }

  get text() {
    return this.input.value.trim();
  }

  changed() {
    clearTimeout(this.timer);
    this.request?.abort();
    const { text } = this;
    if (text === "" || namesIn(text).length > 1) {
      this.close();
      return;
    }
    if (text === this.searched) this.draw();
    else this.timer = setTimeout(() => this.search(text), PAUSE_MS);
  }

  async search(text) {
    this.request?.abort();
    const request = new AbortController();
    this.request = request;
    const ask = (path) => this.session.call("GET", path, undefined, { signal: request.signal });
    const query = encodeURIComponent(text);
    const answers = await Promise.allSettled([
      ask(`instruments/?prefix=${query}&limit=${MOST}`),
      ask(`instruments/?search=${query}&type=EQ&limit=${MOST}`),
      ask(`instruments/?search=${query}&limit=${MOST}`),
      ask(`prices/?symbols=${query}`),
    ]);
    if (request.signal.aborted || text !== this.text) return;
    const [prefix, shares, words, prices] = answers.map(({ value }) => value);
    const found = [prefix, shares, words].flatMap((page) => page?.results ?? []);
    this.options = ranked(found, text).slice(0, MOST);
    // A name that a publisher uses and the master does not have.
    const price = prices?.prices?.[0];
    if (price !== undefined && !price.segment) {
      this.options.unshift({ key: price.symbol, symbol: price.symbol, segment: "", name: "" });
    } else {
      this.options.push({ key: text, symbol: text, isTyped: true });
    }
    this.searched = text;
    const failed = answers.slice(0, 3).every(({ status }) => status === "rejected");
    this.message = failed ? answers[0].reason.message : "";
    this.draw();
    if (this.awaitsEnter) {
      this.awaitsEnter = false;
      this.take(this.chosen);
    }
  }

  draw() {
    const items = this.options.map((option, at) => this.item(option, at));
    this.list.replaceChildren(...items);
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.choose(0);
    const count = this.options.filter((option) => !option.isTyped).length;
    if (this.message) this.status.textContent = this.t("search.failed", { message: this.message });
    else this.status.textContent = this.t(count ? "search.found" : "search.none", { n: count });
  }

  item(option, at) {
    const item = document.createElement("li");
    item.id = `option-${at}`;
    item.setAttribute("role", "option");
    item.dataset.at = String(at);
    const isHere = this.has(option.key);
    const parts = option.isTyped
      ? [this.t("search.as_typed", { name: option.symbol }), "", this.t("search.as_typed_hint")]
      : [option.symbol, option.segment.replace("_", " "), option.name];
    if (isHere) parts[1] = `${parts[1]} · ${this.t("search.here")}`;
    ["found-symbol", "found-segment", "found-name"].forEach((className, part) => {
      const span = document.createElement("span");
      span.className = className;
      span.textContent = parts[part];
      if (parts[part]) item.append(span, " ");
    });
    return item;
  }

  choose(at) {
    const items = this.list.children;
    if (items.length === 0) return;
    this.chosen = (at + items.length) % items.length;
    for (let index = 0; index < items.length; index += 1) {
      items[index].setAttribute("aria-selected", String(index === this.chosen));
    }
    items[this.chosen].scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", items[this.chosen].id);
  }

  press(event) {
    const isOpen = !this.list.hidden;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (isOpen) this.choose(this.chosen + (event.key === "ArrowDown" ? 1 : -1));
      else this.changed();
      event.preventDefault();
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.enter();
    } else if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      if (isOpen) this.close();
      else if (this.input.value !== "") this.input.value = "";
      else this.input.blur();
    }
  }

  enter() {
    const { text } = this;
    const names = namesIn(text);
    if (names.length === 0) return;
    if (names.length > 1) {
      this.add(names);
      this.clear();
    } else if (text === this.searched && !this.list.hidden) {
      this.take(this.chosen);
    } else {
      this.awaitsEnter = true;
      clearTimeout(this.timer);
      this.search(text);
    }
  }

  take(at) {
    const option = this.options[at];
    if (option === undefined) return;
    this.add([option.key]);
    this.clear();
  }

  clear() {
    this.input.value = "";
    this.searched = "";
    this.options = [];
    this.close();
  }

  close() {
    clearTimeout(this.timer);
    this.request?.abort();
    this.awaitsEnter = false;
    this.list.hidden = true;
    this.chosen = -1;
    this.status.textContent = "";
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }
}

// Returns instruments, each once: the symbol itself, then indices and shares that begin with the
// text, then other contracts that do, then those that have it elsewhere.
export function ranked(instruments, text) {
  const wanted = text.toUpperCase();
  const found = new Map(instruments.map((one) => [one.key, one]));
  const rankOf = ({ symbol, type }) => {
    const upper = symbol.toUpperCase();
    const kind = KINDS[type] ?? 3;
    if (upper === wanted) return kind;
    return (upper.startsWith(wanted) ? 10 : 20) + kind;
  };
  return [...found.values()]
    .map((one, at) => ({ one, at, rank: rankOf(one) }))
    .sort((a, b) => a.rank - b.rank || a.at - b.at)
    .map(({ one }) => one);
}
