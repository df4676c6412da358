// The dashboard: makes what its parts share, and starts them.
//
// `app` has
//   client       PriceClient of this server. It is exact: numbers of its ticks and candles are
//                text with the published digits, so write Number(tick.price) before arithmetic.
//   rest         RestClient of this server, as the user who is logged in; its numbers are JSON's.
//   session      who uses the page (session.js)
//   t            t(key, values): a text in the chosen language
//   format       numbers and times for people (format.js)
//   events       an EventTarget: `select` (detail: the selected instrument, or null), `prefers`
//                (detail.name: what changed, `theme` or `language`)
//   preferences  what was chosen in this browser (preferences.js)

import { PriceClient, RestClient } from "../client/live-price.js";
import { Account } from "./account.js";
import { Connection } from "./connection.js";
import { FormDialog, closeByButtons } from "./dialogs.js";
import { formatter } from "./format.js";
import { drawKeys, listenToKeys } from "./keys.js";
import { Notices } from "./notices.js";
import { Panels } from "./panels.js";
import { LANGUAGES, Preferences, THEMES } from "./preferences.js";
import { Session } from "./session.js";
import { translator, writeTexts } from "./text.js";
import { AccountLists } from "./watch/account-lists.js";
import { isOwnAddress, namesIn, namesInAddress, writeAddress } from "./watch/address.js";
import { ListTabs } from "./watch/list-tabs.js";
import { Lists, MOST_SYMBOLS } from "./watch/lists.js";
import { Search } from "./watch/search.js";
import { WatchList } from "./watch/watch-list.js";

const MODE = { batch: true, intervalMs: 50 };

const $ = (id) => document.getElementById(id);
const events = new EventTarget();
const preferences = new Preferences(events);
const t = translator(preferences);
const session = new Session(document.body.dataset.user, { ended: () => account.end() });
const token = () => session.token();
const needsUser = document.body.dataset.auth === "required";

const app = {
  client: new PriceClient(`${location.origin}/live-price`, {
    exact: true,
    token,
    // The client looks for it before each connection.
    get ticket() {
      return session.hasCookie ? readTicket : undefined;
    },
    // The server's heartbeat is heard at least this often: two of them make a lost connection.
    silenceMs: Number(document.body.dataset.heartbeatS) * 2000 + 1000,
  }),
  rest: new RestClient(location.origin, { token }),
  session,
  t,
  format: formatter(t, () => preferences.language),
  events,
  preferences,
};
const { client } = app;
// Without a user there are no prices here.
if (needsUser && !session.isLoggedIn) client.close();

const notices = new Notices($("notices"), t);
const lists = new Lists({ changed: showList, failed: notKept });
const watch = new WatchList(app, lists, { notices, moved: () => connection.moved() });
const panels = new Panels(document.querySelector(".panels"), app);
const search = new Search(document.querySelector(".search"), app, {
  add: (names) => watch.add(names),
  has: (key) => watch.has(key),
});
const tabs = new ListTabs(app, lists, {
  watch,
  notices,
  dialog: new FormDialog($("list-dialog")),
});
const account = new Account(app, {
  dialog: new FormDialog($("login-dialog")),
  notices,
  entered: () => reenter(true),
  left: () => reenter(false),
});
const connection = new Connection(app, {
  changed: (isConnected) => watch.quotes.setConnected(isConnected),
  newest: () => watch.quotes.newest,
  count: () => lists.current?.symbols.length ?? 0,
});

// -- the list that shows ----------------------------------------------------------------------

function showList() {
  watch.show(lists.current);
  tabs.draw();
  writeAddress(lists.current.symbols);
  connection.drawFacts();
}

function followAddress() {
  const names = namesInAddress();
  if (names !== null) lists.openLink(t("lists.link"), names.slice(0, MOST_SYMBOLS));
}

let saidNotKept = false;

function notKept() {
  if (saidNotKept) return;
  saidNotKept = true;
  notices.show(t("lists.not_kept"));
}

// -- the user ---------------------------------------------------------------------------------

// Connects as the user who logged in, or as nobody.
function reenter(isUser) {
  lists.account?.end();
  client.close();
  watch.forget();
  watch.quotes.setDelayed({});
  connection.needsLogin = needsUser && !isUser;
  if (!connection.needsLogin) {
    connect();
    if (isUser) readAccountLists();
    panels.renew();
  }
  connection.draw();
}

// A ticket of the session with admin opens one connection.
async function readTicket() {
  try {
    return (await session.call("POST", "ws-ticket/")).ticket;
  } catch (error) {
    if (error.code === 401 || error.code === 403) queueMicrotask(() => account.end());
    throw error;
  }
}

function connect() {
  client.connect();
  watch.quotes.readSegments();
}

function readAccountLists() {
  const named = (key) => (list) => t(key, { name: list.name });
  const mine = new AccountLists(session, lists, {
    conflict(list, own) {
      showList();
      notices.show(named("lists.conflict")(list), {
        text: t("lists.keep_mine"),
        run() {
          mine.replace(list, own);
          showList();
        },
      });
    },
    failed: (message) => notices.show(t("lists.failed", { message })),
    notRead: (message) => notices.show(t("lists.not_read", { message })),
  });
  lists.account = mine;
  mine.read();
}

client.on("state", ({ state, error }) => {
  const isRefused = [401, 402, 4401, 4407, 4501].includes(error?.code);
  if (state === "closed" && isRefused && session.isLoggedIn) account.end();
});
client.on("entitlements", () => notices.show(t("account.changed")));
client.on("error", (error) => notices.show(error.message));

// -- the page ---------------------------------------------------------------------------------

function translatePage() {
  document.documentElement.lang = preferences.language;
  document.title = t("page.title");
  writeTexts(document, t);
  const other = LANGUAGES.find((code) => code !== preferences.language);
  $("language").textContent = { en: "EN", hi: "हिं" }[other];
  $("language").title = { en: "English", hi: "हिन्दी" }[other];
  $("language").setAttribute("aria-label", $("language").title);
  $("language").lang = other;
  drawKeys($("keys-list"), t);
  account.draw();
  drawTheme();
}

function drawTheme() {
  const theme = t(`tools.theme_${preferences.get("theme")}`);
  $("theme").setAttribute("aria-label", t("tools.theme", { theme }));
  $("theme").title = t("tools.theme", { theme });
}

function openPanel(name) {
  panels.open(name);
  if (watch.grid.activeQuote === null && watch.grid.quotes.length > 0) watch.activate(0);
}

events.addEventListener("prefers", ({ detail }) => {
  if (detail.name === "theme") drawTheme();
  if (detail.name !== "language") return;
  translatePage();
  watch.redraw();
  tabs.draw();
  connection.draw();
});
events.addEventListener("list", () => {
  writeAddress(lists.current.symbols);
  connection.drawFacts();
});
events.addEventListener("open", () => openPanel(panels.current || "chart"));
events.addEventListener("panel-closed", () => watch.element.focus());
addEventListener("hashchange", () => {
  followAddress();
  showList();
});
$("theme").addEventListener("click", () => {
  const at = THEMES.indexOf(preferences.get("theme"));
  preferences.set("theme", THEMES[(at + 1) % THEMES.length]);
});
$("language").addEventListener("click", () => preferences.set("language", $("language").lang));
$("help").addEventListener("click", () => $("keys-dialog").showModal());
for (const opener of document.querySelectorAll("[data-open]")) {
  opener.addEventListener("click", () => openPanel(opener.dataset.open));
}
closeByButtons($("keys-dialog"));
listenToKeys({
  watch,
  search,
  panels,
  open: openPanel,
  showKeys: () => $("keys-dialog").showModal(),
  selectList: (at) => lists.all[at] && lists.select(lists.all[at].id),
});

lists.read(t("lists.first"), namesIn(document.body.dataset.symbols));
if (!isOwnAddress()) followAddress();
translatePage();
showList();
client.configure(MODE).catch(() => {}); // without it, prices come one by one
if (needsUser && !session.isLoggedIn) {
  connection.needsLogin = true;
  connection.draw();
  account.open();
} else {
  connect();
  if (session.isLoggedIn) readAccountLists();
}
// What was open beside the list opens again, where there is room for both.
if (preferences.get("panel") && matchMedia("(min-width: 68rem)").matches) {
  openPanel(preferences.get("panel"));
}
