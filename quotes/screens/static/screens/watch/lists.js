// The watch lists: those of this browser, kept in its storage, and those of the user's account,
// which `account-lists.js` brings and saves. One of them shows.

import { readStored, writeStored } from "../storage.js";

const NAME = "live-price.lists";
const VERSION = 1;
export const MOST_LISTS = 20;
export const MOST_SYMBOLS = 1000;
export const LONGEST_NAME = 40;
const LONGEST_SYMBOL = 81; // a segment, a colon and a symbol
const LINK = "link";

let lastNumber = 0;

function newId() {
  lastNumber += 1;
  return `${Date.now().toString(36)}-${lastNumber}-${Math.random().toString(36).slice(2, 8)}`;
}

// A list: id, name, symbols, account (whether it is the account's), and the account's `version`.
export class Lists {
  // changed(): the lists, or what is in them, are others than before; failed(): nothing is kept.
  constructor({ changed, failed }) {
    this.changed = changed;
    this.failed = failed;
    this.all = [];
    this.currentId = "";
    this.account = null; // account-lists.js, while a user is logged in
    addEventListener("storage", (event) => {
      if (event.key === NAME) this.readAgain();
    });
  }

  get current() {
    return this.all.find((list) => list.id === this.currentId) ?? this.all[0];
  }

  byId(id) {
    return this.all.find((list) => list.id === id);
  }

  // Reads what this browser keeps; without that there is one list with these symbols.
  read(name, symbols) {
    const stored = readStored(NAME, VERSION, isStored);
    this.all = stored ? stored.lists.map(copyOf) : [{ id: newId(), name, symbols }];
    this.currentId = stored?.current ?? this.all[0].id;
  }

  // Another tab changed the lists.
  readAgain() {
    const stored = readStored(NAME, VERSION, isStored);
    if (stored === null) return;
    this.all = [...stored.lists.map(copyOf), ...this.all.filter((list) => list.account)];
    this.changed();
  }

  // Shows the symbols of a link: in the list that has them, or in a list for links.
  openLink(name, symbols) {
    const text = symbols.join();
    const same = [this.current, ...this.all].find((list) => list.symbols.join() === text);
    const link = this.byId(LINK);
    if (same !== undefined) {
      this.currentId = same.id;
    } else {
      if (link === undefined) this.all.push({ id: LINK, name: this.freeName(name), symbols });
      else link.symbols = symbols;
      this.currentId = LINK;
    }
    this.keep();
  }

  select(id) {
    this.currentId = id;
    this.keep();
    this.changed();
  }

  create(name, symbols = []) {
    const list = { id: newId(), name, symbols, account: this.account !== null };
    this.all.push(list);
    this.currentId = list.id;
    this.keep(list);
    this.changed();
    return list;
  }

  rename(list, name) {
    list.name = name;
    if (list.id === LINK) {
      // It is a list of its own now; the next link makes another.
      list.id = newId();
      this.currentId = list.id;
    }
    this.keep(list);
    this.changed();
  }

  remove(list) {
    const at = this.all.indexOf(list);
    this.all.splice(at, 1);
    if (this.currentId === list.id) {
      this.currentId = (this.all[at] ?? this.all[at - 1])?.id ?? "";
    }
    if (list.account) this.account?.remove(list);
    this.keep();
    return at;
  }

  putBack(list, at) {
    this.all.splice(at, 0, list);
    this.currentId = list.id;
    if (list.account) list.remoteId = undefined;
    this.keep(list);
    this.changed();
  }

  setSymbols(list, symbols) {
    list.symbols = symbols;
    this.keep(list);
  }

  // Keeps the lists of this browser, and saves a list of the account that changed.
  keep(list) {
    if (list?.account) this.account?.save(list);
    const lists = this.all.filter((one) => !one.account).map(copyOf);
    if (!writeStored(NAME, VERSION, { current: this.currentId, lists })) this.failed();
  }

  isTaken(name, except) {
    const key = name.toLowerCase();
    return this.all.some((list) => list !== except && list.name.toLowerCase() === key);
  }

  freeName(name) {
    let free = name;
    for (let n = 2; this.isTaken(free); n += 1) free = `${name} ${n}`;
    return free;
  }

  // Puts the account's lists behind those of this browser, in the place of those that were there.
  setAccountLists(lists) {
    this.all = [...this.all.filter((list) => !list.account), ...lists];
    this.changed();
  }
}

function copyOf({ id, name, symbols }) {
  return { id, name, symbols: [...symbols] };
}

// Whatever is in the storage, by an older page or by hand, must be lists as this page makes them.
function isStored(value) {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof value.current === "string" &&
    Array.isArray(value.lists) &&
    value.lists.length > 0 &&
    value.lists.length <= MOST_LISTS + 1 &&
    value.lists.every(isList)
  );
}

export function isList(list) {
  return (
    typeof list === "object" &&
    list !== null &&
    typeof list.id === "string" &&
    typeof list.name === "string" &&
    list.name.trim() !== "" &&
    list.name.length <= LONGEST_NAME &&
    areSymbols(list.symbols)
  );
}

export function areSymbols(symbols) {
  return (
    Array.isArray(symbols) &&
    symbols.length <= MOST_SYMBOLS &&
    symbols.every(
      (name) => typeof name === "string" && name !== "" && name.length <= LONGEST_SYMBOL,
    ) &&
    new Set(symbols).size === symbols.length
  );
}
