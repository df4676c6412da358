// Loads Lightweight Charts, of TradingView, when a chart is first shown. `manage.py get_charts`
// installs the file; without it the rest of the page works.

const FILE = new URL("../../vendor/lightweight-charts-5.2.1.js", import.meta.url);

let loading = null;

// Resolves with the library; rejects if its file is not there.
export function loadLibrary() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = FILE.href;
    script.addEventListener("load", () => {
      if (globalThis.LightweightCharts) resolve(globalThis.LightweightCharts);
      else reject(new Error("not the file of Lightweight Charts"));
    });
    script.addEventListener("error", () => reject(new Error("no file of Lightweight Charts")));
    document.head.append(script);
  }).catch((error) => {
    loading = null; // it may be installed meanwhile
    throw error;
  });
  return loading;
}
