// Renews the tables of the page of connections every few seconds, while the page is seen.
//
// A row that stays keeps its element, so that a link in it keeps the focus. Texts are set as texts.

const EVERY_MS = 5000;
const TIMEOUT_MS = 10000;

const main = document.querySelector("[data-refresh]");
const problem = main.querySelector(".operator-problem");
const summary = main.querySelector(".operator-summary");
const refresh = main.querySelector(".operator-refresh");
const box = refresh.querySelector("input");

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function renewRow(element, row) {
  element.className = row.warns ? "warns" : "";
  const count = row.cells.length + (row.link ? 1 : 0);
  while (element.cells.length > count) element.deleteCell(-1);
  while (element.cells.length < count) element.insertCell();
  row.cells.forEach((text, at) => setText(element.cells[at], text));
  if (!row.link) return;
  const cell = element.cells[count - 1];
  let link = cell.querySelector("a");
  if (!link) {
    link = document.createElement("a");
    link.textContent = "Close";
    cell.replaceChildren(link);
  }
  if (link.getAttribute("href") !== row.link) link.setAttribute("href", row.link);
}

function renewTable(table, rows) {
  const body = table.tBodies[0];
  const before = new Map([...body.rows].map((element) => [element.dataset.id, element]));
  rows.forEach((row, at) => {
    let element = before.get(row.id);
    if (element) {
      before.delete(row.id);
    } else {
      element = document.createElement("tr");
      element.dataset.id = row.id;
    }
    renewRow(element, row);
    if (body.rows[at] !== element) body.insertBefore(element, body.rows[at] ?? null);
  });
  for (const element of before.values()) element.remove();
}

async function renew() {
  const answer = await fetch(main.dataset.refresh, {
    headers: { Accept: "application/json" },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const isJson = (answer.headers.get("content-type") ?? "").includes("application/json");
  if (answer.redirected || answer.status === 403 || !isJson) {
    setText(problem, "Log in again to go on: reload the page.");
    return;
  }
  const values = await answer.json();
  setText(problem, values.problem);
  setText(summary, values.summary);
  for (const [name, rows] of Object.entries(values.tables)) {
    const table = main.querySelector(`[data-table="${name}"]`);
    if (table) renewTable(table, rows);
  }
}

async function run() {
  if (box.checked && !document.hidden) {
    try {
      await renew();
    } catch {
      setText(problem, "The server does not answer; the page tries again.");
    }
  }
  setTimeout(run, EVERY_MS);
}

refresh.hidden = false;
setTimeout(run, EVERY_MS);
