// The watch lists of the user's account: read from the server, and saved a moment after a change.
// The server refuses a change of a version that it no longer has: then its list is shown, and the
// user may put the own one in its place.

const SAVE_AFTER_MS = 400;
const RETRY_MS = 5000;
const CONFLICT = 409;
const GONE = 404;

export class AccountLists {
  // conflict(list, mine): another browser was first; failed(message), notRead(message).
  constructor(session, lists, { conflict, failed, notRead }) {
    this.session = session;
    this.lists = lists;
    this.conflict = conflict;
    this.failed = failed;
    this.notRead = notRead;
    this.timers = new Map(); // list -> timer
    this.saving = new Set();
    this.isOver = false;
    this.wake = () => {
      if (document.visibilityState === "visible") this.read();
    };
    document.addEventListener("visibilitychange", this.wake);
  }

  // Ends it: the user logged out.
  end() {
    this.isOver = true;
    document.removeEventListener("visibilitychange", this.wake);
    for (const timer of this.timers.values()) clearTimeout(timer);
    this.lists.account = null;
    this.lists.setAccountLists([]);
  }

  async read() {
    if (this.timers.size > 0 || this.saving.size > 0) return; // what is here is newer
    let found;
    try {
      found = (await this.session.call("GET", "watch-lists/")).lists;
    } catch (error) {
      if (!this.isOver) this.notRead(error.message);
      return;
    }
    if (this.isOver || this.timers.size > 0 || this.saving.size > 0) return;
    const before = new Map(this.lists.all.map((list) => [list.remoteId, list]));
    this.lists.setAccountLists(
      found.map((one) => Object.assign(before.get(one.id) ?? { account: true }, localOf(one))),
    );
  }

  save(list, after = SAVE_AFTER_MS) {
    clearTimeout(this.timers.get(list));
    this.timers.set(list, setTimeout(() => this.send(list), after));
  }

  async send(list) {
    this.timers.delete(list);
    if (this.saving.has(list)) {
      this.save(list);
      return;
    }
    this.saving.add(list);
    const { name, symbols } = list;
    try {
      const answer =
        list.remoteId === undefined
          ? await this.session.call("POST", "watch-lists/", { name, symbols })
          : await this.session.call("PUT", `watch-lists/${list.remoteId}/`, {
              name,
              symbols,
              version: list.version,
            });
      list.remoteId = answer.id;
      list.version = answer.version;
      if (list.isRemoved) this.remove(list);
    } catch (error) {
      this.refused(list, error);
    } finally {
      this.saving.delete(list);
    }
  }

  async refused(list, error) {
    if (this.isOver || list.isRemoved) return;
    if (error.code === GONE) {
      list.remoteId = undefined; // another browser deleted it: it is saved as a new one
      this.save(list);
    } else if (error.code === CONFLICT && list.remoteId !== undefined) {
      await this.compare(list, error);
    } else {
      this.failed(error.message);
      const isPassing = error.code === undefined || error.code === 429 || error.code >= 500;
      if (isPassing) this.save(list, RETRY_MS);
    }
  }

  // Another browser changed the list, unless the name is that of another list.
  async compare(list, error) {
    const theirs = await this.session
      .call("GET", `watch-lists/${list.remoteId}/`)
      .catch(() => undefined);
    if (theirs === undefined || theirs.version === list.version) {
      this.failed(error.message);
      return;
    }
    const mine = { name: list.name, symbols: list.symbols };
    list.version = theirs.version;
    if (theirs.name === mine.name && theirs.symbols.join() === mine.symbols.join()) return;
    list.name = theirs.name;
    list.symbols = theirs.symbols;
    this.conflict(list, mine);
  }

  // Saves the own list in the place of the one that another browser saved.
  replace(list, mine) {
    Object.assign(list, mine);
    this.save(list, 0);
  }

  async remove(list) {
    clearTimeout(this.timers.get(list));
    this.timers.delete(list);
    list.isRemoved = true;
    if (list.remoteId === undefined || this.saving.has(list)) return;
    try {
      await this.session.call("DELETE", `watch-lists/${list.remoteId}/`);
    } catch (error) {
      if (error.code !== GONE && !this.isOver) this.failed(error.message);
    }
  }
}

function localOf({ id, name, symbols, version }) {
  return { id: `account-${id}`, remoteId: id, name, symbols, version, account: true };
}
