// The words of the page in the chosen language. Elements of the page name theirs by a key:
// data-t for the text, data-t-label for aria-label, data-t-title, data-t-placeholder.

import { english } from "./text/en.js";
import { hindi } from "./text/hi.js";

const TEXTS = { en: english, hi: hindi };
const ATTRIBUTES = { tLabel: "aria-label", tTitle: "title", tPlaceholder: "placeholder" };

// Returns t(key, values): the text of a key, with {name} replaced by values.name. Where a language
// has another text for a number `n`, it stands under the key and the number's plural category.
export function translator(preferences) {
  return (key, values) => {
    const texts = TEXTS[preferences.language];
    const text = counted(texts, key, values?.n, preferences.language) ?? texts[key] ?? english[key] ?? key;
    if (values === undefined) return text;
    return text.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
  };
}

function counted(texts, key, n, language) {
  return typeof n === "number" ? texts[`${key}.${new Intl.PluralRules(language).select(n)}`] : undefined;
}

// Writes the texts of the chosen language into a part of the page.
export function writeTexts(root, t) {
  for (const element of root.querySelectorAll("[data-t]")) {
    element.textContent = t(element.dataset.t);
  }
  for (const [name, attribute] of Object.entries(ATTRIBUTES)) {
    const selector = `[data-${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}]`;
    for (const element of root.querySelectorAll(selector)) {
      element.setAttribute(attribute, t(element.dataset[name]));
    }
  }
}
