/** A page's language: the browser's choice, then the user's.
 *
 * An element's `data-words` names its text, and `data-label` its accessible name. The text in the HTML
 * is the English one, so that a page is readable without this script.
 */

const KEPT = "signalpost.language";

export class Language extends EventTarget {
  #words;
  #code = "en";

  /** @param {Record<string, Record<string, string>>} words code of language → key → text */
  constructor(words, root = document) {
    super();
    this.#words = words;
    this.root = root;
    this.code = kept() ?? preferred(Object.keys(words), navigator.languages);
  }

  get code() {
    return this.#code;
  }

  set code(code) {
    this.#code = code in this.#words ? code : "en";
    this.root.documentElement.lang = this.#code === "zh" ? "zh-Hans" : this.#code;
    this.show(this.root);
    this.dispatchEvent(new Event("change"));
  }

  /** The next language, kept for the next visit. */
  switch() {
    const codes = Object.keys(this.#words);
    this.code = codes[(codes.indexOf(this.#code) + 1) % codes.length];
    try {
      localStorage.setItem(KEPT, this.#code);
    } catch {
      // Storage may be forbidden. Then the choice lasts as long as the page.
    }
  }

  /** The text for `key`, with {names} in it replaced. */
  text(key, values = {}) {
    const text = this.#words[this.#code][key] ?? this.#words.en[key];
    if (text === undefined) throw new Error(`no words for ${key}`);
    return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
  }

  has(key) {
    return key in this.#words.en;
  }

  /** Write the words into an element and everything below it. */
  show(element) {
    for (const each of element.querySelectorAll("[data-words]")) {
      each.textContent = this.text(each.dataset.words);
    }
    for (const each of element.querySelectorAll("[data-label]")) {
      const label = this.text(each.dataset.label);
      each.setAttribute("aria-label", label);
      if (each.matches("button")) each.title = label;
    }
    for (const each of element.querySelectorAll("[data-placeholder]")) {
      each.placeholder = this.text(each.dataset.placeholder);
    }
  }
}

function kept() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

export function preferred(codes, languages) {
  for (const language of languages) {
    const code = language.toLowerCase().split("-")[0];
    if (codes.includes(code)) return code;
  }
  return "en";
}
