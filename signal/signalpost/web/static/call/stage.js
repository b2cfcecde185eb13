/** The stage: a tile for each person, with picture, path and quality. */

import { quality } from "../client.js";

const STATISTICS_MS = 2_000;

export class Stage {
  #list;
  #template;
  #language;
  #tiles = new Map();
  #timer = null;

  constructor(list, template, language) {
    this.#list = list;
    this.#template = template;
    this.#language = language;
  }

  /** Show this side's own picture. */
  showLocal(local) {
    const tile = this.#tiles.get("local") ?? this.#make("local");
    tile.element.classList.add("local");
    tile.video.muted = true;
    this.#name(tile, this.#language.text("you"));
    const { video } = local.tracks;
    const shown = tile.video.srcObject?.getVideoTracks()[0] ?? null;
    if (shown !== video) tile.video.srcObject = video && new MediaStream([video]);
    this.#state(tile, local.state);
    tile.element.classList.toggle("mirrored", !local.sharing);
  }

  /** Show a peer's link while it lasts. */
  add(peer, link, name) {
    const tile = this.#tiles.get(peer) ?? this.#make(peer);
    tile.link = link;
    tile.video.srcObject = link.stream;
    this.#name(tile, name);
    this.#state(tile, { audio: true, video: true, screen: false });
    this.#path(tile);
    link.addEventListener("track", () => (tile.video.srcObject = link.stream));
    link.addEventListener("state", () => this.#path(tile));
    this.#timer ??= setInterval(() => this.measure(), STATISTICS_MS);
  }

  remove(peer, link) {
    const tile = this.#tiles.get(peer);
    if (tile === undefined || (link !== undefined && tile.link !== link)) return;
    tile.video.srcObject = null;
    tile.element.remove();
    this.#tiles.delete(peer);
    this.#count();
  }

  clear() {
    clearInterval(this.#timer);
    this.#timer = null;
    for (const peer of [...this.#tiles.keys()]) this.remove(peer);
  }

  /** Show the state that the peer reports. */
  heard(peer, state) {
    const tile = this.#tiles.get(peer);
    if (tile !== undefined) this.#state(tile, state);
  }

  async measure() {
    for (const tile of this.#tiles.values()) {
      if (tile.link === undefined || tile.link.state === "closed") continue;
      tile.statistics = await tile.link.statistics();
      this.#path(tile);
    }
  }

  /** Show another language. */
  show() {
    for (const tile of this.#tiles.values()) this.#path(tile);
    const local = this.#tiles.get("local");
    if (local !== undefined) this.#name(local, this.#language.text("you"));
  }

  #make(peer) {
    const element = this.#template.content.firstElementChild.cloneNode(true);
    this.#language.show(element);
    element.dataset.peer = peer;
    const find = (selector) => element.querySelector(selector);
    const tile = {
      element,
      video: find("video"),
      initial: find(".initial"),
      who: find(".who"),
      muted: find(".muted"),
      path: find(".path"),
      pathText: find(".path-text"),
    };
    this.#tiles.set(peer, tile);
    this.#list.append(element);
    this.#count();
    return tile;
  }

  #count() {
    this.#list.dataset.count = this.#tiles.size;
  }

  #name(tile, name) {
    tile.who.textContent = name;
    tile.initial.textContent = [...name][0]?.toUpperCase() ?? "";
    tile.video.setAttribute("aria-label", name);
  }

  #state(tile, { audio, video, screen }) {
    tile.muted.hidden = audio;
    tile.element.classList.toggle("dark", !video);
    tile.element.classList.toggle("screen", screen === true);
  }

  #path(tile) {
    const { link, statistics } = tile;
    if (link === undefined) return;
    const { dataset } = tile.element;
    const words = this.#language;
    tile.path.hidden = false;
    dataset.state = link.state;
    if (link.state !== "connected" || statistics === undefined) {
      if (link.state === "connected") void this.#first(tile);
      const state = link.state === "interrupted" ? "interrupted" : "connecting";
      tile.pathText.textContent = words.text(`path-${state}`);
      tile.path.title = "";
      dataset.path = dataset.quality = "unknown";
      return;
    }
    const { path, protocol, rtt, loss, receiveRate, framesDecoded } = statistics;
    const known = path === "unknown" ? "connecting" : path;
    dataset.path = path;
    dataset.quality = quality(statistics);
    dataset.frames = framesDecoded;
    const shown = words.text(`path-${known}`);
    tile.pathText.textContent = words.text("path-text", {
      path: shown,
      quality: words.text(`quality-${dataset.quality}`),
    });
    tile.path.title = words.text("path-title", {
      path: shown,
      protocol: (protocol ?? "?").toUpperCase(),
      rtt: rtt === null ? "?" : Math.round(rtt),
      rate: receiveRate === null ? "?" : Math.round(receiveRate / 1000),
      loss: loss === null ? "0" : (loss * 100).toFixed(1),
    });
  }

  /** Now, instead of up to two seconds later. */
  async #first(tile) {
    if (tile.asked) return;
    tile.asked = true;
    tile.statistics = await tile.link.statistics();
    this.#path(tile);
  }
}
