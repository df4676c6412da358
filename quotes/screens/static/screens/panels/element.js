// Makes elements of the page; texts go in as text, never as markup.

// attributes: by their names; `text` is the content, `t` the key of a text that follows the language.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") made.textContent = value;
    else if (name === "t") made.dataset.t = value;
    else if (name === "tLabel") made.dataset.tLabel = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

// Writes a text where it changed, so that nothing is drawn again for nothing.
export function write(target, text) {
  if (target.textContent !== text) target.textContent = text;
}
