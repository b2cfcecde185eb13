/** Delivery: keeps messages to peers until the peer's client has them, and those to a room until the
 * service has them. It drops repeats (docs/protocol.md, rule 4). */

import { SignalpostError } from "./errors.js";

/** A peer may return within this time after a restart of the service. */
export const RETURN_MS = 45_000;
const MAX_SEEN = 4_096;

export class Delivery {
  #send;
  #prefix = randomId().slice(0, 8);
  #count = 0;
  /** id → {message, waiting, resolve, reject}, in the order of sending. `waiting`: the peers whose
   * clients don't have it; null if it only waits for the service. */
  #said = new Map();
  /** Peers that haven't returned since the last reset. */
  #absent = new Map();
  #seen = new Set();

  constructor(send) {
    this.#send = send;
  }

  /** An id that no other message from this peer has. */
  nextId() {
    return `${this.#prefix}-${++this.#count}`;
  }

  /** Send a message. `peers` are those of its room. The promise resolves when the addressee's client
   * has it, or the service for a message to a room. */
  say(message, peers = []) {
    const { promise, resolve, reject } = withResolvers();
    // A caller that doesn't wait for it needn't hear about a failure.
    promise.catch(() => {});
    let waiting = null;
    if (message.to !== undefined) waiting = new Set([message.to]);
    // An absent peer would miss it.
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

  /** The service refused a message. Returns it, or null if it isn't one of ours. A message to an
   * absent peer goes on waiting. */
  refused({ ref, code, message }) {
    const said = this.#said.get(ref);
    if (said === undefined) return null;
    if (said.waiting === null || code !== "no-such-peer") said.waiting = new Set();
    // If a message to a room has become several, the service doesn't say which peer it means.
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

  /** The service has forgotten everything, and never acknowledged `lost`. `rooms`: name → its peers;
   * `calls`: the peers of answered calls. They are absent until they're back. A message to a room now
   * goes to each of its peers. */
  reset(lost, rooms, calls) {
    for (const { id, room } of lost) {
      const said = this.#said.get(id);
      if (said?.waiting === null) said.waiting = new Set(rooms.get(room) ?? []);
    }
    for (const said of [...this.#said.values()]) {
      said.waiting ??= new Set();
      for (const peer of said.waiting) this.#expect(peer);
      this.#settle(said);
    }
    for (const peers of [...rooms.values(), calls]) for (const peer of peers) this.#expect(peer);
  }

  #expect(peer) {
    clearTimeout(this.#absent.get(peer));
    this.#absent.set(peer, setTimeout(() => this.#giveUp(peer), RETURN_MS));
  }

  /** The peer is reachable: it gets what it doesn't have. */
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
    const lost = new SignalpostError("lost", "the peer didn't return");
    for (const said of [...this.#said.values()]) {
      if (said.waiting?.delete(peer)) this.#settle(said, lost);
    }
  }

  /** The client is over. */
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

/** Promise.withResolvers, which the oldest supported browsers lack. */
export function withResolvers() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}
