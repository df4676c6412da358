// The dashboard: makes what its parts share, and starts them.
//
// `app` has
//   client       PriceClient of this server. It is exact: numbers of its ticks and candles are
//                text with the published digits, so write Number(tick.price) before arithmetic.
//   rest         RestClient of this server; its numbers are JSON's.
//   t            t(key, values): a text in the chosen language
//   format       numbers and times for people (format.js)
//   events       an EventTarget: `select` (detail: the selected instrument, or null), `prefers`
//                (detail.name: what changed, `theme` or `language`)
//   preferences  what was chosen in this browser (preferences.js)

import { PriceClient, RestClient } from "../client/live-price.js";
import { formatter } from "./format.js";
import { Panels } from "./panels.js";
import { Preferences } from "./preferences.js";
import { translator, writeTexts } from "./text.js";

const events = new EventTarget();
const preferences = new Preferences(events);
const t = translator(preferences);

const app = {
  client: new PriceClient(`${location.origin}/live-price`, { exact: true }),
  rest: new RestClient(location.origin),
  t,
  format: formatter(t, () => preferences.language),
  events,
  preferences,
};

function translatePage() {
  document.documentElement.lang = preferences.language;
  document.title = t("page.title");
  writeTexts(document, t);
}

events.addEventListener("prefers", (event) => {
  if (event.detail.name === "language") translatePage();
});
translatePage();

const panels = new Panels(document.querySelector(".panels"), app);
for (const opener of document.querySelectorAll("[data-open]")) {
  opener.addEventListener("click", () => panels.open(opener.dataset.open));
}
