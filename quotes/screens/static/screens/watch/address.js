// The address of the page holds the symbols of its list: #RELIANCE,M%26M. Links of the first page
// of this service look the same.

// Splits what a person typed or pasted into names, each once. Names hold spaces.
export function namesIn(text) {
  return unique(text.split(/[,;\n]/).map((name) => name.trim()));
}

// Returns the names in the address, or null if it has none.
export function namesInAddress() {
  if (location.hash.length < 2) return null;
  const names = location.hash.slice(1).split(",").map((part) => {
    try {
      return decodeURIComponent(part).trim();
    } catch {
      return part; // a stray % in an address that somebody typed
    }
  });
  return unique(names);
}

export function writeAddress(names) {
  const hash = `#${names.map((name) => encodeURIComponent(name)).join(",")}`;
  if (location.hash !== hash) history.replaceState(null, "", hash === "#" ? " " : hash);
  try {
    sessionStorage.setItem("live-price.address", location.hash);
  } catch {
    // The address is then taken for a link when the page is loaded again.
  }
}

// Tells whether this tab wrote the address itself.
export function isOwnAddress() {
  try {
    return sessionStorage.getItem("live-price.address") === location.hash;
  } catch {
    return false;
  }
}

function unique(names) {
  return [...new Set(names.filter((name) => name !== ""))];
}
