/** The chat beside a meeting: its messages, and how many are unread. */

import { LIMITS, points } from "../client/limits.js";

export class Chat {
  #elements;
  #language;
  #unread = 0;
  #say = () => false;

  /** `elements`: {panel, log, form, input, toggle, unread}. */
  constructor(elements, language) {
    this.#elements = elements;
    this.#language = language;
    const { form, input, toggle } = elements;
    toggle.addEventListener("click", () => this.open(elements.panel.hidden));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = input.value.trim();
      if (text === "") return;
      const count = points(text);
      if (count > LIMITS.text) {
        // The text stays, so that the user can shorten it.
        return this.#add("", language.text("text-long", { most: LIMITS.text, count }), "note");
      }
      if (!this.#say({ type: "chat", text })) return this.#add("", language.text("not-sent"), "note");
      this.#add(language.text("you"), text, "own");
      input.value = "";
    });
  }

  /** Start with a new meeting. `say` sends to everybody in it, and returns whether there is anybody. */
  begin(say) {
    this.#say = say;
    this.#elements.log.replaceChildren();
    this.#seen();
  }

  open(shown) {
    const { panel, toggle, input } = this.#elements;
    panel.hidden = !shown;
    toggle.setAttribute("aria-expanded", String(shown));
    if (!shown) return;
    this.#seen();
    this.#scroll();
    input.focus();
  }

  heard(name, text) {
    this.#add(name, text, "");
    if (!this.#elements.panel.hidden) return;
    this.#unread += 1;
    this.show();
  }

  show() {
    const { unread } = this.#elements;
    unread.hidden = this.#unread === 0;
    unread.textContent = String(this.#unread);
    unread.setAttribute("aria-label", this.#language.text("unread", { count: this.#unread }));
  }

  #seen() {
    this.#unread = 0;
    this.show();
  }

  #add(name, text, kind) {
    const item = document.createElement("div");
    item.className = kind;
    if (name) {
      const who = document.createElement("span");
      who.className = "who";
      who.textContent = name;
      item.append(who);
    }
    const said = document.createElement("p");
    said.textContent = text;
    item.append(said);
    this.#elements.log.append(item);
    this.#scroll();
  }

  #scroll() {
    const { log } = this.#elements;
    log.scrollTop = log.scrollHeight;
  }
}
