// Which option chain belongs to an instrument: its own, if it is an underlying, or that of the
// future or option that it is.

const DERIVATIVES = ["FUT", "CE", "PE"];

// Resolves with the parameters of the chain. instrument: as it was selected, with what the master
// knows of it if that was read.
export async function chainOf(rest, instrument) {
  const { key, symbol, type } = instrument;
  let found = type ? instrument : null;
  try {
    found ??= await rest.get(`instruments/${encodeURIComponent(key)}/`);
  } catch (error) {
    if (error?.code !== 404 && error?.code !== 400) throw error;
  }
  if (found !== null && DERIVATIVES.includes(found.type) && found.underlying) {
    const isOption = found.type !== "FUT";
    return {
      underlying: found.underlying,
      segment: found.segment,
      expiry: isOption ? (found.expiry ?? undefined) : undefined,
      strike: isOption ? found.strike : null,
    };
  }
  return { underlying: found?.symbol ?? symbol ?? key, segment: undefined, expiry: undefined, strike: null };
}
