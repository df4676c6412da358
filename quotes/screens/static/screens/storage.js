// JSON in the browser's storage, each with the version of its form. Whatever else is there, or no
// storage at all, reads as nothing: a page never fails by what it kept.

export function readStored(name, version, isValid) {
  try {
    const found = JSON.parse(localStorage.getItem(name));
    if (found?.version === version && isValid(found.value)) return found.value;
  } catch {
    // not JSON, or the browser lets no page store anything
  }
  return null;
}

// Returns whether the value is kept.
export function writeStored(name, version, value) {
  try {
    localStorage.setItem(name, JSON.stringify({ version, value }));
    return true;
  } catch {
    return false;
  }
}
