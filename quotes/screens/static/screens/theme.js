// Runs before the page is drawn, so that it never shows the other theme first.

(() => {
  let chosen = "system";
  try {
    chosen = JSON.parse(localStorage.getItem("live-price.preferences"))?.value?.theme;
  } catch {
    // no storage, or not ours: as the system says
  }
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const theme = ["dark", "light"].includes(chosen) ? chosen : dark ? "dark" : "light";
  document.documentElement.dataset.theme = theme;
})();
