// The keyboard: keys of the page, and of the grid when it has the focus.

const PANELS = { c: "chart", o: "chain", d: "depth", m: "market" };

// What the help shows: keys, and the text that says what they do.
export const KEYS = [
  [["/"], "keys.search"],
  [["↑", "↓"], "keys.move"],
  [["Home", "End"], "keys.ends"],
  [["Enter"], "keys.open"],
  [["Delete"], "keys.remove"],
  [["Ctrl", "Z"], "keys.undo"],
  [["Alt", "↑", "↓"], "keys.order"],
  [["S"], "keys.sort"],
  [["1", "9"], "keys.lists"],
  [["C", "O", "D", "M"], "keys.panels"],
  [["Esc"], "keys.close"],
  [["?"], "keys.help"],
];

// page: { watch, search, panels, selectList(at), showKeys() }.
export function listenToKeys(page) {
  const { watch } = page;
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || document.querySelector("dialog[open]") !== null) return;
    const isTyping = event.target.matches("input, select, textarea");
    if (event.key === "Escape" && !isTyping) {
      if (page.panels.isOpen) page.panels.close();
      return;
    }
    if (isTyping) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
      watch.undo();
      event.preventDefault();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (pressPageKey(event.key, page)) event.preventDefault();
  });
  watch.element.addEventListener("keydown", (event) => {
    if (event.target !== watch.element || event.ctrlKey || event.metaKey) return;
    if (pressGridKey(event, watch)) event.preventDefault();
  });
}

function pressPageKey(key, page) {
  if (key === "/") page.search.focus();
  else if (key === "?") page.showKeys();
  else if (/^[1-9]$/.test(key)) page.selectList(Number(key) - 1);
  else if (key.toLowerCase() === "s") page.watch.heads.focus();
  else if (key.toLowerCase() in PANELS) page.open(PANELS[key.toLowerCase()]);
  else return false;
  return true;
}

function pressGridKey(event, watch) {
  const { grid } = watch;
  const last = grid.quotes.length - 1;
  const { active } = grid;
  if (event.altKey) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (step === undefined) return false;
    watch.moveActive(step);
    return true;
  }
  const targets = {
    ArrowDown: active + 1,
    ArrowUp: active < 0 ? last : active - 1,
    PageDown: active + grid.pageRows,
    PageUp: active - grid.pageRows,
    Home: 0,
    End: last,
  };
  if (event.key in targets) {
    if (last >= 0) watch.activate(Math.max(0, Math.min(targets[event.key], last)));
  } else if (event.key === "Enter") {
    if (active >= 0) watch.activate(active, { opens: true });
  } else if (event.key === "Delete" || event.key === "Backspace") {
    const quote = grid.activeQuote;
    if (quote !== null) watch.remove(quote.name);
  } else return false;
  return true;
}

export function drawKeys(list, t) {
  list.replaceChildren();
  for (const [keys, text] of KEYS) {
    const term = document.createElement("dt");
    for (const key of keys) {
      const element = document.createElement("kbd");
      element.textContent = key;
      term.append(element, " ");
    }
    const meaning = document.createElement("dd");
    meaning.textContent = t(text);
    list.append(term, meaning);
  }
}
