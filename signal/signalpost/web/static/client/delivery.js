/** Delivery: messages to peers are kept until the peer's own client has them, those to a room until
 * the service has them, and what comes twice is dropped (docs/protocol.md, rule 4). */

import { SignalpostError } from "./errors.js";

/** How long a peer gets to come back after the service was restarted. */
export const RETURN_MS = 45_000;
const MAX_SEEN = 4_096;

export class Delivery {
  #send;
  #prefix = randomId().slice(0, 8);
  #count = 0;
  /** id → {message, waiting, resolve, reject}, in the order they were said. `waiting`: the peers
   * whose clients do not have it; null for what waits for the service alone. */
  #said = new Map();
  /** Peers that have not come back since the last reset. */
  #absent = new Map();
  #seen = new Set();

  constructor(send) {
    this.#send = send;
  }

  /** A name for a message, that no other of this peer has. */
  nextId() {
    return `${this.#prefix}-${++this.#count}`;
  }

  /** Send it; `peers` are those of the room that it is for. The promise ends when the addressee's
   * client has it, or the service where it is for a room. */
  say(message, peers = []) {
    const { promise, resolve, reject } = withResolvers();
    // Who does not wait for it need not hear of its failure.
    promise.catch(() => {});
    let waiting = null;
    if (message.to !== undefined) waiting = new Set([message.to]);
    // Who is on the way back would miss it.
    else if ([...peers].some((peer) => this.#absent.has(peer))) waiting = new Set(peers);
    this.#said.set(message.id, { message, waiting, resolve, reject });
    if (waiting === null) this.#send(message);
    else for (const to of waiting) if (!this.#absent.has(to)) this.#send({ ...message, to });
    return promise;
  }

  delivered({ id, to }) {
    const said = this.#said.get(id);
    if (said === undefined || said.waiting === null) return;
    said.waiting.delete(to);
    this.#settle(said);
  }

  /** The service has it. */
  taken({ id }) {
    const said = this.#said.get(id);
    if (said === undefined || said.waiting !== null) return;
    said.waiting = new Set();
    this.#settle(said);
  }

  /** The service would not: what it was, null when it was none of these. A peer that may still be
   * on its way back is waited for. */
  refused({ ref, code, message }) {
    const said = this.#said.get(ref);
    if (said === undefined) return null;
    if (said.waiting === null || code !== "no-such-peer") said.waiting = new Set();
    // The service does not say whom it meant where a message to a room has become several.
    else for (const peer of said.waiting) if (!this.#absent.has(peer)) said.waiting.delete(peer);
    this.#settle(said, new SignalpostError(code, message));
    return said.message;
  }

  #settle(said, error) {
    if (said.waiting.size > 0) return;
    this.#said.delete(said.message.id);
    if (error === undefined) said.resolve();
    else said.reject(error);
  }

  /** The service forgot everything. `rooms`: name → the peers that were there; `lost`: what it never
   * acknowledged. A message to a room goes to each of them when it is back. */
  reset(lost, rooms) {
    for (const { id, room } of lost) {
      const said = this.#said.get(id);
      if (said?.waiting === null) said.waiting = new Set(rooms.get(room) ?? []);
    }
    for (const said of [...this.#said.values()]) {
      said.waiting ??= new Set();
      for (const peer of said.waiting) this.#expect(peer);
      this.#settle(said);
    }
    for (const peers of rooms.values()) for (const peer of peers) this.#expect(peer);
  }

  #expect(peer) {
    clearTimeout(this.#absent.get(peer));
    this.#absent.set(peer, setTimeout(() => this.#giveUp(peer), RETURN_MS));
  }

  /** The peer can be reached: what it has not got is sent again. */
  present(peer) {
    if (!this.#absent.has(peer)) return;
    clearTimeout(this.#absent.get(peer));
    this.#absent.delete(peer);
    for (const { message, waiting } of this.#said.values()) {
      if (waiting?.has(peer)) this.#send({ ...message, to: peer });
    }
  }

  #giveUp(peer) {
    this.#absent.delete(peer);
    const lost = new SignalpostError("lost", "the peer did not come back");
    for (const said of [...this.#said.values()]) {
      if (said.waiting?.delete(peer)) this.#settle(said, lost);
    }
  }

  /** Nothing more can be sent. */
  close(error) {
    for (const timer of this.#absent.values()) clearTimeout(timer);
    this.#absent.clear();
    for (const said of [...this.#said.values()]) {
      said.waiting = new Set();
      this.#settle(said, error);
    }
  }

  /** Whether a message is new. */
  isNew({ from, id }) {
    if (id === undefined) return true;
    const key = `${from} ${id}`;
    if (this.#seen.has(key)) return false;
    this.#seen.add(key);
    if (this.#seen.size > MAX_SEEN) this.#seen.delete(this.#seen.values().next().value);
    return true;
  }
}

export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
}

/** Promise.withResolvers, which is younger than the browsers that are to run this. */
export function withResolvers() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}
