// What a person chose for this browser: theme, language, columns, the order of the rows.

import { readStored, writeStored } from "./storage.js";

const NAME = "live-price.preferences";
const VERSION = 1;
export const THEMES = ["system", "dark", "light"];
export const LANGUAGES = ["en", "hi"];

const DEFAULTS = { theme: "system", language: "", sort: null, hidden: ["open", "previous"], panel: "" };

export class Preferences {
  // events: an EventTarget that gets `prefers` after each change.
  constructor(events) {
    this.events = events;
    const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
    this.values = { ...DEFAULTS, ...readStored(NAME, VERSION, isObject) };
    this.system = matchMedia("(prefers-color-scheme: dark)");
    this.system.addEventListener("change", () => this.changed("theme"));
  }

  get(name) {
    return this.values[name];
  }

  set(name, value) {
    this.values[name] = value;
    writeStored(NAME, VERSION, this.values);
    this.changed(name);
  }

  changed(name) {
    if (name === "theme") document.documentElement.dataset.theme = this.theme;
    this.events.dispatchEvent(new CustomEvent("prefers", { detail: { name } }));
  }

  // The theme that shows: dark or light.
  get theme() {
    const chosen = this.values.theme;
    if (chosen === "dark" || chosen === "light") return chosen;
    return this.system.matches ? "dark" : "light";
  }

  get language() {
    if (LANGUAGES.includes(this.values.language)) return this.values.language;
    return navigator.language.toLowerCase().startsWith("hi") ? "hi" : "en";
  }
}
