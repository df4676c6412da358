// A grid of which only the visible rows exist. Prices mark rows; once per animation frame the
// marked rows that are visible are painted. Sizes come from events, never from reading the layout.

import { Row } from "./row.js";

const SPARE_ROWS = 6; // above and below what is visible
const FLASH_MS = 350;

export class Grid {
  // element: role=grid, which scrolls; space: the element of all rows, as high as they would be.
  constructor(element, space, { columns, format, t }) {
    this.element = element;
    this.space = space;
    this.columns = columns;
    this.format = format;
    this.t = t;
    this.quotes = [];
    this.rows = []; // the pool: row i shows the quotes i, i + rows.length, ...
    this.active = -1;
    this.top = 0;
    this.viewHeight = 0;
    this.rowHeight = 30;
    this.frame = 0;
    this.needsLayout = false;
    this.flashing = []; // cells, in the order in which their flash ends
    this.flash = this.flash.bind(this);
    this.paint = this.paint.bind(this);
    const phone = matchMedia("(max-width: 40rem)");
    const measure = () => {
      this.rowHeight = phone.matches ? 54 : 30;
      this.layOut();
    };
    phone.addEventListener("change", measure);
    measure();
    new ResizeObserver(([entry]) => {
      this.viewHeight = entry.contentRect.height;
      this.layOut();
    }).observe(element);
    element.addEventListener(
      "scroll",
      () => {
        this.top = element.scrollTop;
        this.layOut();
      },
      { passive: true },
    );
  }

  setQuotes(quotes) {
    this.quotes = quotes;
    this.element.setAttribute("aria-rowcount", String(quotes.length + 1));
    this.layOut();
  }

  // Marks a row: its quote changed.
  mark(quote) {
    const row = quote.slot;
    if (row === null || row.isDirty) return;
    row.isDirty = true;
    this.soon();
  }

  markAll() {
    for (const row of this.rows) row.isDirty = true;
    this.soon();
  }

  layOut() {
    this.needsLayout = true;
    this.soon();
  }

  soon() {
    if (this.frame === 0) this.frame = requestAnimationFrame(this.paint);
  }

  // -- painting ------------------------------------------------------------------------------

  paint(now) {
    this.frame = 0;
    if (this.needsLayout) this.placeRows();
    for (const row of this.rows) {
      if (row.isDirty && row.quote !== null) row.paint(this.format, this.flash);
    }
    this.endFlashes(now);
  }

  placeRows() {
    this.needsLayout = false;
    const { quotes, rowHeight } = this;
    const height = `${quotes.length * rowHeight}px`;
    if (this.height !== height) {
      this.height = height;
      this.space.style.height = height;
    }
    const visible = Math.ceil(this.viewHeight / rowHeight) + 2 * SPARE_ROWS;
    const count = Math.min(quotes.length, visible);
    while (this.rows.length > count) this.rows.pop().release();
    if (this.rows.length < count) this.addRows(count);
    const first = Math.floor(this.top / rowHeight) - SPARE_ROWS;
    const start = Math.max(0, Math.min(first, quotes.length - count));
    for (let index = start; index < start + count; index += 1) {
      const row = this.rows[index % count];
      const quote = quotes[index];
      if (row.quote !== quote || row.index !== index || row.height !== rowHeight) {
        row.bind(quote, index, rowHeight);
        row.isDirty = true;
      }
      row.setActive(index === this.active);
    }
    this.showActive();
  }

  addRows(count) {
    const added = document.createDocumentFragment();
    while (this.rows.length < count) {
      const row = new Row(this.columns, this.t);
      this.rows.push(row);
      added.append(row.element);
    }
    this.space.append(added);
  }

  // Makes all rows again: in another language, for example.
  rebuild() {
    while (this.rows.length > 0) this.rows.pop().release();
    this.layOut();
  }

  // -- flashes -------------------------------------------------------------------------------

  flash(cell, direction) {
    if (cell.flash !== direction) {
      if (cell.flash) cell.element.classList.remove(`flash-${cell.flash}`);
      if (direction) cell.element.classList.add(`flash-${direction}`);
      cell.flash = direction;
    }
    if (!direction) return;
    if (cell.until === 0) this.flashing.push(cell);
    cell.until = performance.now() + FLASH_MS;
  }

  endFlashes(now) {
    if (this.flashing.length === 0) return;
    let kept = 0;
    for (const cell of this.flashing) {
      if (cell.until > now) {
        this.flashing[kept] = cell;
        kept += 1;
      } else {
        cell.until = 0;
        this.flash(cell, "");
      }
    }
    this.flashing.length = kept;
    if (kept > 0 && this.timer === undefined) {
      this.timer = setTimeout(() => {
        this.timer = undefined;
        this.soon();
      }, FLASH_MS / 3);
    }
  }

  // -- the active row ------------------------------------------------------------------------

  get activeQuote() {
    return this.quotes[this.active] ?? null;
  }

  setActive(index, { scroll = true } = {}) {
    this.active = index < 0 ? -1 : Math.min(index, this.quotes.length - 1);
    if (scroll && this.active >= 0) this.reveal(this.active);
    this.layOut();
  }

  reveal(index) {
    const head = this.rowHeight;
    const from = index * this.rowHeight;
    const visible = this.viewHeight - head;
    if (from < this.top) this.element.scrollTop = from;
    else if (from + this.rowHeight > this.top + visible) {
      this.element.scrollTop = from + this.rowHeight - visible;
    }
  }

  showActive() {
    const id = this.activeQuote?.slot?.element.id;
    if (id === this.shownActive) return;
    this.shownActive = id;
    if (id === undefined) this.element.removeAttribute("aria-activedescendant");
    else this.element.setAttribute("aria-activedescendant", id);
  }

  get pageRows() {
    return Math.max(1, Math.floor(this.viewHeight / this.rowHeight) - 2);
  }

  // Returns the index of the row at a height of the window, from 0 to the number of rows.
  indexAt(clientY) {
    const { top } = this.space.getBoundingClientRect();
    const at = Math.floor((clientY - top) / this.rowHeight);
    return Math.max(0, Math.min(at, this.quotes.length - 1));
  }
}
