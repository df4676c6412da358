// The implementation is what the declarations say, both ways.
import * as declared from "../src/live-price.js";
import { PriceClient } from "../src/price-client.js";
import { RestClient } from "../src/rest-client.js";
import * as errors from "../src/errors.js";

const client: declared.PriceClient = new PriceClient("");
const rest: declared.RestClient = new RestClient("");
const symbolError: declared.SymbolError = new errors.SymbolError("", 400, "A");
const subscription: declared.Subscription = new PriceClient("").subscribe("A", { conflate: false });
const chain: declared.Subscription = new PriceClient("").subscribeOptionChain("A", { follow: true });
void [client, rest, symbolError, subscription, chain];
