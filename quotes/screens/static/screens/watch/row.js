// One pooled row: made once, then shows one quote after the other. Only what differs from what it
// shows is written, as text; nothing is read from the page.

let made = 0;

export class Row {
  // columns: of columns.js. The row's buttons carry what they do in data-do.
  constructor(columns, t) {
    this.columns = columns;
    this.t = t;
    made += 1;
    this.element = document.createElement("div");
    this.element.className = "row";
    this.element.id = `row-${made}`;
    this.element.setAttribute("role", "row");
    this.element.draggable = true;
    this.cells = columns.map((column, at) => this.makeCell(column, at));
    this.note = document.createElement("div");
    this.note.className = "note";
    this.note.setAttribute("role", "gridcell");
    this.note.setAttribute("aria-colindex", "2");
    this.element.insertBefore(this.note, this.cells[1].element);
    this.quote = null;
    this.index = -1;
    this.isDirty = false;
    this.isFresh = true;
    this.noteText = "";
    this.isNoted = null;
    this.isActive = false;
  }

  makeCell(column, at) {
    const element = document.createElement("div");
    element.className = `cell c-${column.id}`;
    element.setAttribute("role", column.id === "symbol" ? "rowheader" : "gridcell");
    element.setAttribute("aria-colindex", String(at + 1));
    const cell = { element, text: "", tone: "", flash: "", until: 0, value: "" };
    if (column.id === "symbol") {
      cell.node = child(element, "span", "symbol-name");
      cell.segment = child(element, "span", "symbol-segment");
      cell.late = child(element, "span", "symbol-late");
      cell.segmentText = cell.lateText = "";
    } else if (column.id === "range") {
      cell.low = child(element, "span", "range-low");
      const track = child(element, "span", "range-track");
      cell.mark = child(track.parentNode, "span", "range-mark");
      cell.high = child(element, "span", "range-high");
      cell.lowText = cell.highText = "";
    } else if (column.id === "remove") {
      cell.button = document.createElement("button");
      cell.button.type = "button";
      cell.button.tabIndex = -1;
      cell.button.dataset.do = "remove";
      cell.button.append(document.createTextNode("×"));
      element.append(cell.button);
    } else {
      cell.node = document.createTextNode("");
      element.append(cell.node);
    }
    this.element.append(element);
    return cell;
  }

  bind(quote, index, height) {
    if (this.quote !== quote) {
      if (this.quote !== null && this.quote.slot === this) this.quote.slot = null;
      this.quote = quote;
      this.isFresh = true;
    }
    quote.slot = this;
    if (this.index !== index || this.height !== height) {
      this.index = index;
      this.height = height;
      this.element.style.transform = `translateY(${index * height}px)`;
      this.element.setAttribute("aria-rowindex", String(index + 2));
      this.element.classList.toggle("odd", index % 2 === 1);
    }
  }

  release() {
    if (this.quote !== null && this.quote.slot === this) this.quote.slot = null;
    this.quote = null;
    this.index = -1;
    this.element.remove();
  }

  setActive(isActive) {
    if (this.isActive === isActive) return;
    this.isActive = isActive;
    this.element.classList.toggle("active", isActive);
    this.element.setAttribute("aria-selected", String(isActive));
  }

  // Writes what changed. flash(cell, direction) is called where a value moved.
  paint(format, flash) {
    const { quote } = this;
    this.isDirty = false;
    const isNoted = quote.price === "";
    if (this.isNoted !== isNoted) {
      this.isNoted = isNoted;
      this.element.classList.toggle("noted", isNoted);
    }
    for (let at = 0; at < this.cells.length; at += 1) {
      const column = this.columns[at];
      const cell = this.cells[at];
      if (column.id === "symbol") this.paintSymbol(cell, quote);
      else if (column.id === "remove") this.paintRemove(cell, quote);
      else if (isNoted) continue;
      else if (column.id === "range") paintRange(cell, quote, format);
      else this.paintCell(cell, column, quote, flash);
    }
    if (isNoted) this.paintNote(quote);
    this.isFresh = false;
  }

  paintCell(cell, column, quote, flash) {
    const text = column.text(quote);
    if (cell.text !== text) {
      cell.text = text;
      cell.node.data = text;
      if (column.flashes) {
        const value = column.value(quote);
        if (!this.isFresh && cell.value !== null && value !== null && value !== cell.value) {
          flash(cell, value > cell.value ? "up" : "down");
        }
      }
    }
    if (column.flashes) {
      cell.value = column.value(quote);
      if (this.isFresh && cell.flash) flash(cell, "");
    }
    if (column.tone !== undefined) {
      const tone = column.tone(quote);
      if (cell.tone !== tone) {
        if (cell.tone) cell.element.classList.remove(cell.tone);
        if (tone) cell.element.classList.add(tone);
        cell.tone = tone;
      }
    }
  }

  paintSymbol(cell, quote) {
    if (cell.text !== quote.symbol) {
      cell.text = quote.symbol;
      cell.node.textContent = quote.symbol;
      cell.node.title = quote.key;
    }
    if (cell.segmentText !== quote.segment) {
      cell.segmentText = quote.segment;
      cell.segment.textContent = quote.segment.replace("_", " ");
    }
    const late = quote.late > 0 ? this.t("watch.late", { n: quote.late }) : "";
    if (cell.lateText !== late) {
      cell.lateText = late;
      cell.late.textContent = late;
    }
  }

  paintRemove(cell, quote) {
    const text = this.t("watch.remove", { name: quote.name });
    if (cell.text === text) return;
    cell.text = text;
    cell.button.setAttribute("aria-label", text);
  }

  // Why there is no price.
  paintNote(quote) {
    const text = noteText(quote, this.t);
    const whole = `${text} ${quote.note.suggestions.join(" ")}`;
    if (this.noteText === whole) return;
    this.noteText = whole;
    const words = document.createElement("span");
    words.textContent = text;
    this.note.replaceChildren(words);
    for (const suggestion of quote.note.suggestions) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "suggestion";
      button.tabIndex = -1;
      button.dataset.do = "replace";
      button.dataset.by = suggestion;
      button.textContent = suggestion;
      this.note.append(" ", button);
    }
  }
}

function noteText(quote, t) {
  const { state, message, suggestions } = quote.note;
  if (state === "refused") return t("watch.refused", { message });
  if (state === "unknown") return t(suggestions.length > 0 ? "watch.unknown" : "watch.unknown_alone");
  if (state === "waiting" && quote.late > 0) return t("watch.late_wait", { n: quote.late });
  return t(`watch.${state}`);
}

function paintRange(cell, quote, format) {
  const { position } = quote;
  const place = position === null ? "" : `translateX(${Math.round(position * 1000) / 10}%)`;
  if (cell.text !== place) {
    if (!place !== !cell.text) cell.element.classList.toggle("has-range", place !== "");
    cell.text = place;
    cell.mark.style.transform = place;
  }
  const low = place && format.price(quote.low, quote.decimals);
  const high = place && format.price(quote.high, quote.decimals);
  if (cell.lowText !== low) {
    cell.lowText = low;
    cell.low.textContent = low;
  }
  if (cell.highText !== high) {
    cell.highText = high;
    cell.high.textContent = high;
  }
}

function child(parent, tag, className) {
  const element = document.createElement(tag);
  element.className = className;
  parent.append(element);
  return element;
}
