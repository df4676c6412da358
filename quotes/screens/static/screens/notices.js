// Messages at the edge of the page, each with an action if it has one. They go by themselves
// unless a pointer or the focus is on them.

const STAYS_MS = 8000;
const MOST = 4;

export class Notices {
  constructor(element, t) {
    this.element = element;
    this.t = t;
    this.announcer = document.getElementById("announcer");
  }

  // Shows a text. action: { text, run }.
  show(text, action) {
    const notice = document.createElement("div");
    notice.className = "notice";
    const words = document.createElement("span");
    words.textContent = text;
    notice.append(words);
    if (action !== undefined) {
      notice.append(
        button("plain", action.text, () => {
          notice.remove();
          action.run();
        }),
      );
    }
    const close = button("tool", "×", () => notice.remove());
    close.setAttribute("aria-label", this.t("notices.dismiss"));
    notice.append(close);
    this.element.append(notice);
    while (this.element.children.length > MOST) this.element.firstElementChild.remove();
    const leave = () => {
      if (notice.matches(":hover") || notice.contains(document.activeElement)) {
        setTimeout(leave, STAYS_MS / 2);
      } else notice.remove();
    };
    setTimeout(leave, STAYS_MS);
    this.say(text);
    return notice;
  }

  // Says a text to screen readers.
  say(text) {
    this.announcer.textContent = text;
  }
}

function button(className, text, run) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = className;
  element.textContent = text;
  element.addEventListener("click", run);
  return element;
}
