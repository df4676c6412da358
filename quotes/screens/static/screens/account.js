// Logging in and out, and what follows of it: other prices, other lists.

import { RequestError } from "./session.js";

export class Account {
  // entered(): a user logged in; left(): nobody is logged in any more.
  constructor(app, { dialog, notices, entered, left }) {
    this.app = app;
    this.session = app.session;
    this.dialog = dialog;
    this.notices = notices;
    this.entered = entered;
    this.left = left;
    this.button = document.getElementById("account");
    this.button.addEventListener("click", () => {
      if (this.session.isLoggedIn) this.logout();
      else this.open();
    });
  }

  draw() {
    const { t } = this.app;
    const { isLoggedIn, user } = this.session;
    this.button.textContent = isLoggedIn ? t("account.logout", { user }) : t("account.login");
  }

  open() {
    this.dialog.open(({ username, password }) => this.login(username.trim(), password));
  }

  async login(username, password) {
    try {
      await this.session.login(username, password);
    } catch (error) {
      throw new Error(this.reason(error));
    }
    this.draw();
    this.notices.show(this.app.t("account.logged_in", { user: username }));
    this.entered();
  }

  reason(error) {
    const { t } = this.app;
    if (!(error instanceof RequestError)) return error.message;
    if (error.code === 400 || error.code === 401) return t("account.wrong");
    if (error.code === 429 || error.code === 403) return t("account.locked", { message: error.message });
    return t("account.failed", { message: error.message });
  }

  async logout() {
    const ended = this.session.logout();
    this.draw();
    this.left();
    this.notices.show(this.app.t("account.logged_out"));
    await ended;
  }

  // The log-in ended by itself.
  end() {
    this.session.forget();
    this.draw();
    this.left();
    this.notices.show(this.app.t("account.ended"), {
      text: this.app.t("account.login"),
      run: () => this.open(),
    });
  }
}
