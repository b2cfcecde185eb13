/** Delivery: messages to one peer are kept until that peer's client has them, and what comes twice
 * is dropped (docs/protocol.md, rule 4). */

import { SignalpostError } from "./errors.js";

/** How long a peer gets to come back after the service was restarted. */
export const RETURN_MS = 45_000;
const MAX_SEEN = 4_096;

export class Delivery {
  #send;
  #prefix = randomId().slice(0, 8);
  #count = 0;
  /** `id to` → {message, promise's functions}, in the order they were sent. */
  #undelivered = new Map();
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

  /** Send to one peer; the promise ends when its client has it. */
  to(message) {
    const { promise, resolve, reject } = withResolvers();
    // Who does not wait for it need not hear of its failure.
    promise.catch(() => {});
    this.#undelivered.set(`${message.id} ${message.to}`, { message, resolve, reject });
    if (!this.#absent.has(message.to)) this.#send(message);
    return promise;
  }

  delivered({ id, to }) {
    this.#settle(`${id} ${to}`, (entry) => entry.resolve());
  }

  /** The service could not: true when the message was one of these. A peer that may still be on its
   * way back is waited for. */
  refused(error) {
    const key = [...this.#undelivered.keys()].find((each) => each.startsWith(`${error.ref} `));
    if (key === undefined) return false;
    const { to } = this.#undelivered.get(key).message;
    if (error.code === "no-such-peer" && this.#absent.has(to)) return true;
    this.#settle(key, (entry) => entry.reject(new SignalpostError(error.code, error.message)));
    return true;
  }

  #settle(key, end) {
    const entry = this.#undelivered.get(key);
    this.#undelivered.delete(key);
    if (entry) end(entry);
  }

  /** The service forgot everything. `rooms`: name → the peers that were there; `lost`: what it never
   * acknowledged. A message to a room goes to each of them when it is back. */
  reset(lost, rooms) {
    for (const message of lost) {
      if ((message.type !== "signal" && message.type !== "text") || message.to !== undefined) continue;
      for (const to of rooms.get(message.room) ?? []) {
        const addressed = { ...message, to };
        this.#undelivered.set(`${message.id} ${to}`, { message: addressed, resolve() {}, reject() {} });
      }
    }
    for (const { message } of this.#undelivered.values()) this.#expect(message.to);
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
    for (const { message } of this.#undelivered.values()) {
      if (message.to === peer) this.#send(message);
    }
  }

  #giveUp(peer) {
    this.#absent.delete(peer);
    const lost = new SignalpostError("lost", "the peer did not come back");
    for (const [key, { message }] of this.#undelivered) {
      if (message.to === peer) this.#settle(key, (entry) => entry.reject(lost));
    }
  }

  close() {
    for (const timer of this.#absent.values()) clearTimeout(timer);
    const closed = new SignalpostError("closed", "the client was closed");
    for (const key of [...this.#undelivered.keys()]) this.#settle(key, (entry) => entry.reject(closed));
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
