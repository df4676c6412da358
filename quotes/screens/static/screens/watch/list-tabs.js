// The names of the lists above the grid, and the menu of the one that shows.

import { LONGEST_NAME, MOST_LISTS } from "./lists.js";

export class ListTabs {
  constructor(app, lists, { watch, notices, dialog }) {
    this.app = app;
    this.lists = lists;
    this.watch = watch;
    this.notices = notices;
    this.dialog = dialog;
    const $ = (id) => document.getElementById(id);
    this.element = $("lists");
    this.menu = $("list-menu");
    this.items = $("list-actions");
    this.columns = $("columns");
    this.title = $("list-title");
    this.element.addEventListener("click", (event) => {
      const tab = event.target.closest("button");
      if (tab !== null) lists.select(tab.dataset.id);
    });
    $("list-add").addEventListener("click", () => this.create());
    this.menu.addEventListener("click", () => this.toggle(this.items.hidden));
    this.items.addEventListener("click", (event) => this.act(event.target.dataset.action));
    this.columns.addEventListener("change", () => this.chooseColumns());
    document.addEventListener("click", (event) => {
      if (!this.items.hidden && !event.target.closest(".menu")) this.toggle(false);
    });
    this.items.parentNode.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.items.hidden) return;
      this.toggle(false);
      this.menu.focus();
      event.preventDefault();
    });
  }

  draw() {
    const { lists } = this;
    const { t } = this.app;
    const hasFocus = this.element.contains(document.activeElement);
    const tabs = lists.all.map((list) => {
      const tab = document.createElement("button");
      tab.type = "button";
      tab.dataset.id = list.id;
      tab.textContent = list.name;
      if (list.account) {
        tab.classList.add("of-account");
        tab.title = t("lists.account");
      }
      if (list === lists.current) tab.setAttribute("aria-current", "true");
      return tab;
    });
    this.element.replaceChildren(...tabs);
    const current = this.element.querySelector("[aria-current]");
    current?.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (hasFocus) current?.focus();
    this.items.querySelector("[data-action=copy]").hidden =
      lists.account === null || lists.current.account === true;
  }

  toggle(isOpen) {
    if (isOpen) this.drawColumns();
    this.items.hidden = !isOpen;
    this.menu.setAttribute("aria-expanded", String(isOpen));
  }

  act(action) {
    if (action === undefined) return;
    this.toggle(action === "up" || action === "down"); // one goes further by pressing again
    const { lists } = this;
    if (action === "rename") this.rename(lists.current);
    else if (action === "delete") this.remove(lists.current);
    else if (action === "copy") this.copy(lists.current);
    else if (action === "unsort") this.watch.setOrder(null);
    else if (action === "up") this.watch.moveActive(-1);
    else if (action === "down") this.watch.moveActive(1);
  }

  // -- lists ---------------------------------------------------------------------------------

  create() {
    const { t } = this.app;
    if (this.lists.all.length >= MOST_LISTS) {
      this.notices.show(t("lists.too_many", { n: MOST_LISTS }));
      return;
    }
    this.title.textContent = t("lists.create");
    this.dialog.open((values) => this.lists.create(this.checked(values["list-name"])));
  }

  rename(list) {
    this.title.textContent = this.app.t("lists.rename");
    this.dialog.open((values) => this.lists.rename(list, this.checked(values["list-name"], list)), {
      "list-name": list.name,
    });
  }

  checked(text, list) {
    const name = text.trim().slice(0, LONGEST_NAME);
    if (name === "" || this.lists.isTaken(name, list)) throw new Error(this.app.t("lists.taken"));
    return name;
  }

  remove(list) {
    const { t } = this.app;
    const at = this.lists.remove(list);
    if (this.lists.all.length === 0) this.lists.create(t("lists.first"));
    this.lists.changed();
    this.notices.show(t("lists.deleted", { name: list.name }), {
      text: t("watch.undo"),
      run: () => this.lists.putBack({ ...list, isRemoved: false }, at),
    });
  }

  copy(list) {
    const { lists } = this;
    const name = lists.freeName(list.name);
    lists.create(name, [...list.symbols]);
    this.notices.show(this.app.t("lists.copied", { name }));
  }

  // -- columns -------------------------------------------------------------------------------

  drawColumns() {
    const { preferences, t } = this.app;
    const hidden = preferences.get("hidden");
    const legend = this.columns.querySelector("legend");
    const labels = this.watch.columns
      .filter((column) => !column.isFixed && !column.isText)
      .map(({ id }) => {
        const label = document.createElement("label");
        const box = document.createElement("input");
        box.type = "checkbox";
        box.name = id;
        box.checked = !hidden.includes(id);
        label.append(box, t(`columns.${id}`));
        return label;
      });
    this.columns.replaceChildren(legend, ...labels);
  }

  chooseColumns() {
    const boxes = [...this.columns.querySelectorAll("input")];
    const hidden = boxes.filter((box) => !box.checked).map((box) => box.name);
    this.app.preferences.set("hidden", hidden);
    this.watch.drawColumns();
  }
}
