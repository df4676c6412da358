// Who uses the page: a log-in by name and password, whose tokens are kept in memory alone; the user
// who is logged in to admin in this browser, by the cookie of that session; or nobody. Also the
// requests that need the log-in and that the REST client does not make.

const RENEW_BEFORE_MS = 60_000;

export class RequestError extends Error {
  constructor(message, code, body) {
    super(message);
    this.code = code; // the HTTP status; undefined if there was no answer
    this.body = body;
  }
}

export class Session {
  // user: who is logged in by a cookie, or empty; ended(): the log-in cannot be renewed.
  constructor(user, { ended }) {
    this.ended = ended;
    this.user = user;
    this.hasCookie = user !== "";
    this.access = "";
    this.refresh = "";
    this.renewal = null;
  }

  get isLoggedIn() {
    return this.user !== "";
  }

  async login(username, password) {
    const answer = await this.request("POST", "token/", { username, password });
    this.hasCookie = false;
    this.take(answer);
    this.user = username;
  }

  async logout() {
    const { access, hasCookie } = this;
    this.forget();
    try {
      if (hasCookie) await endSession();
      else await this.request("POST", "logout/", {}, access);
    } catch {
      // The tokens are forgotten here, and end by themselves there.
    }
  }

  forget() {
    this.user = this.access = this.refresh = "";
    this.hasCookie = false;
    this.renewal = null;
  }

  // Returns an access token that lasts a while, or null without a log-in.
  async token() {
    if (!this.access) return null;
    if (Date.now() > this.expires - RENEW_BEFORE_MS) await this.renew();
    return this.access || null;
  }

  // Gets new tokens, once however many ask.
  renew() {
    this.renewal ??= this.exchange().finally(() => {
      this.renewal = null;
    });
    return this.renewal;
  }

  async exchange() {
    const { refresh } = this;
    try {
      const answer = await this.request("POST", "token/refresh/", { refresh });
      if (this.refresh === refresh) this.take(answer);
    } catch (error) {
      // No answer, or a busy server: the token that is there may still do.
      if (error.code !== 401 || this.refresh !== refresh) return;
      this.forget();
      this.ended();
    }
  }

  take({ access, refresh }) {
    this.access = access;
    this.refresh = refresh;
    this.expires = endOf(access);
  }

  // Calls an address below /api/ as the user who is logged in.
  async call(method, path, body, options) {
    return this.request(method, path, body, await this.token(), options);
  }

  async request(method, path, body, token, { signal } = {}) {
    const headers = { Accept: "application/json" };
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (this.hasCookie && method !== "GET") headers["X-CSRFToken"] = csrfToken();
    let response;
    try {
      response = await fetch(`/api/${path}`, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        // With a token, or as nobody, the cookie of another user must not count.
        credentials: this.hasCookie ? "same-origin" : "omit",
        cache: "no-store",
        signal,
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new RequestError(error.message);
    }
    if (response.status === 204) return null;
    const answer = await response.json().catch(() => null);
    if (!response.ok) {
      const message = answer?.message ?? `HTTP ${response.status}`;
      throw new RequestError(message, response.status, answer);
    }
    return answer;
  }
}

function csrfToken() {
  return /(?:^|;\s*)csrftoken=([^;]*)/.exec(document.cookie)?.[1] ?? "";
}

async function endSession() {
  const headers = { "X-CSRFToken": csrfToken() };
  await fetch("/admin/logout/", { method: "POST", headers, redirect: "manual" });
}

// When a token ends, Unix milliseconds by this browser's clock as far as it can be said.
function endOf(token) {
  try {
    const text = token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
    const { iat, exp } = JSON.parse(atob(text));
    return Date.now() + (exp - iat) * 1000;
  } catch {
    return Date.now() + RENEW_BEFORE_MS;
  }
}
