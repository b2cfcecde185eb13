/** A room that this client is in, and its peers. */

import { RETURN_MS } from "./delivery.js";
import { copied, picked } from "./limits.js";

/** Events: `peer-joined`, `peer-left`, `peer-returned` (after a restart of the service) with the
 * peer; `text` {from, text, id}; `signal` {from, data}; `changed`; `left` {reason}. */
export class Room extends EventTarget {
  #client;
  #returning = new Map();

  constructor(client, name, { role, metadata }) {
    super();
    this.name = name;
    /** The options of the join, to join again. */
    this.asked = { role, metadata };
    this.#client = client;
    /** Peer id → {peer, user, name, role, polite, metadata}, without this client. */
    this.peers = new Map();
    this.role = role ?? "member";
    this.locked = false;
    this.capacity = 0;
    this.metadata = undefined;
    this.closed = false;
  }

  /** Send a text to everybody. The promise resolves when the service has it. */
  text(text) {
    return this.#client.deliver(() => ({ type: "text", room: this.name, text }), this);
  }

  /** Send any JSON to everybody, or to one peer: then the promise resolves when its client has it. */
  signal(data, options) {
    return this.#client.deliver(() => {
      const to = picked(options, "to").to ?? undefined;
      return { type: "signal", room: this.name, data: copied(data, "a signal's data"), to };
    }, this);
  }

  /** Change the room, as its host: {locked, capacity, metadata}. */
  update(changes) {
    return this.#client.request(() => {
      const { locked, capacity, metadata } = picked(changes, "locked", "capacity", "metadata");
      return { type: "room", room: this.name, locked, capacity, metadata: copied(metadata, "metadata") };
    });
  }

  /** Remove a peer, as the room's host. */
  kick(peer) {
    return this.#client.request(() => ({ type: "kick", room: this.name, peer }));
  }

  leave() {
    return this.#client.leave(this);
  }

  // --- told by the client ----------------------------------------------------------------------

  joined({ role, locked, capacity, metadata, peers }) {
    Object.assign(this, { role, locked, capacity, metadata });
    for (const neighbour of peers) this.arrive(neighbour);
  }

  /** Every peer has to join again. A peer that doesn't is gone. */
  reset() {
    for (const peer of this.peers.keys()) {
      clearTimeout(this.#returning.get(peer));
      this.#returning.set(peer, setTimeout(() => this.depart({ peer }), RETURN_MS));
    }
  }

  arrive(neighbour) {
    const { peer, user, name, role, polite, metadata } = neighbour;
    clearTimeout(this.#returning.get(peer));
    this.#returning.delete(peer);
    const known = this.peers.has(peer);
    this.peers.set(peer, { peer, user, name, role, polite, metadata });
    this.#tell(known ? "peer-returned" : "peer-joined", this.peers.get(peer));
  }

  depart({ peer, host }) {
    this.#returning.delete(peer);
    const gone = this.peers.get(peer);
    if (host !== undefined) this.#crown(host);
    if (gone === undefined) return;
    this.peers.delete(peer);
    this.#tell("peer-left", gone);
  }

  changed({ host, locked, capacity, metadata }) {
    Object.assign(this, { locked, capacity, metadata });
    if (host) this.#crown(host);
    this.#tell("changed");
  }

  #crown(host) {
    if (host === this.#client.peer) this.role = "host";
    else if (this.role === "host") this.role = "member";
    for (const each of this.peers.values()) {
      if (each.peer === host) each.role = "host";
      else if (each.role === "host") each.role = "member";
    }
  }

  heard(message) {
    const { type, from, text, data, id } = message;
    this.#tell(type, type === "text" ? { from, text, id } : { from, data });
  }

  end(reason) {
    if (this.closed) return;
    this.closed = true;
    for (const timer of this.#returning.values()) clearTimeout(timer);
    this.#tell("left", { reason });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
