// Why there are no candles, in words; and the previous close where no publisher sends it.

import { indianDay } from "./clock.js";

const DAYS_BACK = 12; // longer than any markets stay closed
const DAY_MS = 86_400_000;

// Resolves with a sentence on why an instrument has no candles.
export async function explainEmpty({ t }, { key, isKnown, liveError }) {
  if (liveError) return t("chart.live_refused", { message: liveError.message });
  if (!isKnown) return t("chart.unknown", { name: key });
  const recorder = await recorderProblem();
  if (recorder) return t("chart.no_recorder", { message: recorder });
  return t("chart.empty", { name: key });
}

// What /readyz says of the recorder, "" if it works.
async function recorderProblem() {
  try {
    const response = await fetch("/readyz", { headers: { Accept: "application/json" } });
    const { recorder = "ok" } = await response.json();
    return recorder === "ok" ? "" : String(recorder);
  } catch {
    return "";
  }
}

// The close of the last day before a tick's, from the candles of days; undefined without one.
export async function previousClose(rest, tick, key) {
  try {
    const from = tick.timestamp - DAYS_BACK * DAY_MS;
    const days = await rest.candles(key, { interval: "1d", from, to: tick.timestamp + DAY_MS });
    const before = days.filter(({ start }) => indianDay(start) < indianDay(tick.timestamp));
    return before.length > 0 ? Number(before.at(-1).close) : undefined;
  } catch {
    return undefined; // there is no line then; the chart's own reading says what is wrong
  }
}
