// The heads of the columns: each a button that sorts. Arrows go from one to the next.

export class Heads {
  // sort(id): the head of a column was pressed.
  constructor(element, { columns, t, sort }) {
    this.element = element;
    this.columns = columns;
    this.t = t;
    this.sort = sort;
    element.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button !== null) sort(button.dataset.column);
    });
    element.addEventListener("keydown", (event) => this.move(event));
  }

  draw(order) {
    const row = document.createElement("div");
    row.className = "row";
    row.setAttribute("role", "row");
    row.setAttribute("aria-rowindex", "1");
    const current = document.activeElement?.dataset?.column;
    this.columns.forEach((column, at) => row.append(this.head(column, at, order)));
    this.element.replaceChildren(row);
    const focused = current && this.element.querySelector(`[data-column="${current}"]`);
    if (focused) focused.focus();
  }

  head(column, at, order) {
    const head = document.createElement("div");
    head.className = `cell c-${column.id}`;
    head.setAttribute("role", "columnheader");
    head.setAttribute("aria-colindex", String(at + 1));
    const name = document.createElement(column.value ? "button" : "span");
    name.textContent = this.t(`columns.${column.id}`);
    head.append(name);
    if (!column.value) {
      name.className = "unseen";
      return head;
    }
    name.type = "button";
    name.dataset.column = column.id;
    const isSorted = order?.column === column.id;
    const isFirst = order ? isSorted : at === 0;
    name.tabIndex = isFirst ? 0 : -1;
    head.setAttribute("aria-sort", isSorted ? (order.descending ? "descending" : "ascending") : "none");
    if (isSorted) {
      const arrow = document.createElement("span");
      arrow.setAttribute("aria-hidden", "true");
      arrow.textContent = order.descending ? " ↓" : " ↑";
      name.append(arrow);
    }
    return head;
  }

  focus() {
    (this.element.querySelector('button[tabindex="0"]') ?? this.element.querySelector("button")).focus();
  }

  move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined || event.altKey) return;
    const buttons = [...this.element.querySelectorAll("button")].filter(
      (button) => button.offsetParent !== null,
    );
    const at = buttons.indexOf(event.target);
    if (at < 0) return;
    const next = buttons[Math.max(0, Math.min(at + step, buttons.length - 1))];
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
    event.preventDefault();
    event.stopPropagation();
  }
}
