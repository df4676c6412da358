// Dialogs with a form: opened with what to do with it, closed when that has succeeded.

export class FormDialog {
  // submit(values): saves the values of the inputs, by their id; throws an Error whose message is
  // shown in the dialog.
  constructor(element) {
    this.element = element;
    this.form = element.querySelector("form");
    this.error = element.querySelector(".dialog-error");
    this.inputs = [...element.querySelectorAll("input")];
    closeByButtons(element);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    element.addEventListener("close", () => this.empty());
  }

  open(submit, values = {}) {
    this.submit = submit;
    for (const input of this.inputs) input.value = values[input.id] ?? "";
    this.error.hidden = true;
    if (!this.element.open) this.element.showModal();
    this.inputs[0].focus();
    this.inputs[0].select();
  }

  async send() {
    if (this.isSending) return;
    this.isSending = true;
    this.error.hidden = true;
    try {
      await this.submit(Object.fromEntries(this.inputs.map((input) => [input.id, input.value])));
      this.element.close();
    } catch (error) {
      this.error.textContent = error.message;
      this.error.hidden = false;
      this.inputs.at(-1).select();
    } finally {
      this.isSending = false;
    }
  }

  // A password does not stay in the page.
  empty() {
    for (const input of this.inputs) input.value = "";
  }
}

export function closeByButtons(dialog) {
  for (const button of dialog.querySelectorAll("[data-close]")) {
    button.addEventListener("click", () => dialog.close());
  }
}
