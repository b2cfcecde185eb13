/** The users in the lobby, each listed once, whatever the number of devices. */

export class People {
  #elements;
  #language;
  #room = null;
  #own = null;
  #call;

  /** `elements`: {list, nobody}; `call` gets the user to call. */
  constructor(elements, language, call) {
    this.#elements = elements;
    this.#language = language;
    this.#call = call;
  }

  follow(room, own) {
    this.#room = room;
    this.#own = own;
    for (const type of ["peer-joined", "peer-left", "peer-returned"]) {
      room.addEventListener(type, () => this.show());
    }
    this.show();
  }

  name(user) {
    const known = [...(this.#room?.peers.values() ?? [])].find((each) => each.user === user);
    return known?.name || this.#language.text("nameless");
  }

  show() {
    if (this.#room === null) return;
    const users = new Map();
    for (const { user, name } of this.#room.peers.values()) {
      if (user !== this.#own) users.set(user, name || this.#language.text("nameless"));
    }
    const { list, nobody } = this.#elements;
    nobody.hidden = users.size > 0;
    // Items stay in place while others come and go: otherwise the keyboard focus would be lost.
    const shown = new Map([...list.children].map((item) => [item.dataset.user, item]));
    for (const [user, item] of shown) if (!users.has(user)) item.remove();
    for (const [user, name] of users) {
      const item = shown.get(user) ?? this.#item(user);
      item.querySelector(".who").textContent = name;
      item.querySelector(".initial").textContent = [...name][0].toUpperCase();
      const button = item.querySelector("button");
      button.textContent = this.#language.text("call");
      button.setAttribute("aria-label", this.#language.text("call-somebody", { name }));
      if (!item.isConnected) list.append(item);
    }
  }

  #item(user) {
    const item = document.createElement("li");
    item.dataset.user = user;
    for (const [kind, className] of [["span", "initial"], ["span", "who"], ["button", "primary"]]) {
      const part = document.createElement(kind);
      part.className = className;
      item.append(part);
    }
    item.querySelector(".initial").setAttribute("aria-hidden", "true");
    const button = item.querySelector("button");
    button.type = "button";
    button.addEventListener("click", () => this.#call(user));
    return item;
  }
}
