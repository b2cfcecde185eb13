/** The Signalpost client: rooms, presence, calls and text over the native protocol.
 *
 *     import { connect } from "https://calls.example.org/client.js";
 *     const client = await connect({ name: "Ada" });
 *     const room = await client.join("lobby");
 *     const call = client.call(room.peers.values().next().value.user, { tracks });
 *
 * docs/client.md explains it, and client.d.ts has its types.
 */

import { Call } from "./client/call.js";
import { Connection } from "./client/connection.js";
import { Delivery, randomId, withResolvers } from "./client/delivery.js";
import { SignalpostError } from "./client/errors.js";
import { checked, copied, picked } from "./client/limits.js";
import { Link } from "./client/link.js";
import { Mesh } from "./client/mesh.js";
import { Room } from "./client/room.js";
import { quality } from "./client/statistics.js";

export { Call, Link, Mesh, Room, SignalpostError, quality };
export { devices, openMedia, openScreen } from "./client/media.js";

const MAX_ORDERS = 10_000;
const DEFAULT_URL = new URL("v1/signal", import.meta.url).href;

/** Make a client and wait until the service has welcomed it. Throws a SignalpostError if the service
 * refuses it. While the service is unreachable it keeps trying. */
export async function connect(options = {}) {
  const client = new Client(options);
  await client.open();
  return client;
}

/** Events: `state`; `incoming` {call}; `text` {from, text, id} and `signal` {from, data} from peers
 * outside rooms; `ice-servers`; `error` (a SignalpostError that answers no request); `closed`
 * {error}. */
export class Client extends EventTarget {
  #connection;
  #delivery;
  #opened = withResolvers();
  /** id → {message, resolve, reject, again} of each request, which is answered with `ref`. `again`: a
   * room is joined again. */
  #requests = new Map();
  /** id → call, for messages that are only answered if they fail. */
  #orders = new Map();
  #links = new Set();
  /** Calls that have ended, in case their callers don't know. */
  #over = new Set();
  /** The reason why nothing can be sent any more. */
  #closed = null;

  constructor({ url = DEFAULT_URL, token, name } = {}) {
    super();
    this.peer = null;
    this.user = null;
    this.iceServers = [];
    /** Name → Room */
    this.rooms = new Map();
    /** Call id → Call, for calls in progress. */
    this.calls = new Map();
    this.#connection = new Connection(url, { token, name });
    this.#delivery = new Delivery((message) => this.#connection.send(message));
    this.#opened.promise.catch(() => {});
    const listen = (type, heard) =>
      this.#connection.addEventListener(type, ({ detail }) => heard(detail));
    listen("welcome", (detail) => this.#welcomed(detail));
    listen("message", (message) => this.#take(message));
    listen("state", () => this.#tell("state"));
    listen("refused", (error) => this.#end(error));
    listen("taken", (message) => this.#delivery.taken(message));
    listen("dropped", ({ message, error }) => {
      this.#refused({ code: error.code, message: error.message, ref: message.id });
    });
    addEventListener("online", this.#networkChanged);
  }

  /** `connecting`, `open`, `waiting` or `closed`. */
  get state() {
    return this.#connection.state;
  }

  open() {
    try {
      this.#connection.open();
    } catch (error) {
      this.close(); // the URL isn't a WebSocket's
      return Promise.reject(error);
    }
    return this.#opened.promise;
  }

  /** Hang up everywhere and say goodbye. */
  close() {
    for (const call of [...this.calls.values()]) call.hangUp();
    this.#connection.close();
    this.#end(null);
  }

  /** Join a room: {role: "member" | "observer", metadata}. */
  async join(name, options) {
    const { role, metadata } = picked(options, "role", "metadata");
    const asked = { role, metadata: copied(metadata, "metadata") };
    const room = new Room(this, name, asked);
    const joined = await this.request(() => ({ type: "join", room: name, ...asked }));
    this.rooms.set(name, room);
    room.joined(joined);
    return room;
  }

  /** Call a user, on all of their devices. `tracks`: {audio, video} to send; `retry`: see Link.
   * Throws a SignalpostError if it can't be a user's id. */
  call(user, options) {
    const call = new Call(this, { id: randomId(), direction: "outgoing", user });
    call.prepare(options);
    this.order({ type: "invite", call: call.id, user }, call);
    this.calls.set(call.id, call);
    return call;
  }

  /** Send a text to one peer. The promise resolves when the peer's client has it. */
  text(to, text) {
    return this.deliver(() => ({ type: "text", to, text }));
  }

  /** Send any JSON to one peer. The promise resolves when the peer's client has it. */
  signal(to, data) {
    return this.deliver(() => ({ type: "signal", to, data: copied(data, "a signal's data") }));
  }

  // --- for rooms, calls and meshes -------------------------------------------------------------

  /** The message that `make` returns, with an id but no number yet. Throws a SignalpostError if the
   * service would refuse it. */
  #numberless(make) {
    if (this.#closed !== null) throw this.#closed;
    return checked({ ...make(), id: this.#delivery.nextId() }, this.#connection.most);
  }

  deliver(make, room) {
    let message;
    try {
      message = this.#numberless(make);
    } catch (error) {
      const refused = Promise.reject(error);
      refused.catch(() => {}); // as for every delivery
      return refused;
    }
    return this.#delivery.say(message, room?.peers.keys());
  }

  /** Send a request. Its answer is the message whose `ref` is the request's id. */
  async request(make, { again = false } = {}) {
    const message = this.#numberless(make);
    const { promise, resolve, reject } = withResolvers();
    this.#requests.set(message.id, { message, resolve, reject, again });
    this.#connection.send(message);
    return promise;
  }

  /** Send a message about a call, which is told if the service refuses it. Throws a SignalpostError. */
  order(message, call) {
    if (this.#closed !== null) return queueMicrotask(() => call?.refused(this.#closed));
    const ordered = this.#numberless(() => message);
    this.#orders.set(ordered.id, call);
    if (this.#orders.size > MAX_ORDERS) this.#orders.delete(this.#orders.keys().next().value);
    this.#connection.send(ordered);
  }

  async leave(room) {
    if (room.closed) return; // by now another room may have its name
    if (this.rooms.get(room.name) === room) this.rooms.delete(room.name);
    room.end();
    await this.request(() => ({ type: "leave", room: room.name })).catch(() => {});
  }

  /** Keep a link's credentials fresh, and let it find a new path when the network changes. */
  adopt(link) {
    this.#links.add(link);
    link.addEventListener("closed", () => this.#links.delete(link));
  }

  forget(call) {
    this.calls.delete(call.id);
    this.#over.add(call.id);
  }

  // --- what comes in ---------------------------------------------------------------------------

  #networkChanged = () => {
    for (const link of this.#links) link.restart();
  };

  #welcomed({ message, reset, unacknowledged }) {
    this.peer = message.peer;
    this.user = message.user;
    this.#setIceServers(message.iceServers);
    if (reset) this.#reset(unacknowledged);
    this.#opened.resolve();
  }

  #setIceServers(iceServers) {
    this.iceServers = iceServers;
    for (const link of this.#links) link.setIceServers(iceServers);
    this.#tell("ice-servers");
  }

  /** The service has forgotten everything. State it again: first rooms, then unanswered requests, then
   * calls, then undelivered messages, as soon as their addressees are back. */
  #reset(unacknowledged) {
    const rooms = new Map([...this.rooms].map(([name, room]) => [name, [...room.peers.keys()]]));
    const answered = [...this.calls.values()].filter((call) => call.link !== null);
    this.#delivery.reset(unacknowledged, rooms, answered.map((call) => call.peer));
    const asked = this.#requests;
    this.#requests = new Map();
    for (const room of this.rooms.values()) {
      room.reset();
      this.#joinAgain(room);
    }
    for (const [id, request] of asked) {
      if (request.again) continue; // it was sent again just now
      if (request.message.type === "leave") request.resolve();
      else {
        this.#requests.set(id, request);
        this.#connection.send(request.message);
      }
    }
    for (const call of [...this.calls.values()]) call.reset();
  }

  #joinAgain(room) {
    this.request(() => ({ type: "join", room: room.name, ...room.asked }), { again: true }).then(
      (joined) => room.joined(joined),
      (error) => this.#out(room, error.code),
    );
  }

  #out(room, reason) {
    if (this.rooms.get(room.name) === room) this.rooms.delete(room.name);
    room.end(reason);
  }

  #take(message) {
    const { type, ref } = message;
    if (type === "error") return this.#refused(message);
    if (ref !== undefined && this.#requests.has(ref)) {
      const { resolve } = this.#requests.get(ref);
      this.#requests.delete(ref);
      // The room is updated first, before the caller continues.
      if (type !== "joined") this.#hear(message);
      else for (const { peer } of message.peers) this.#delivery.present(peer);
      return resolve(message);
    }
    this.#hear(message);
  }

  #refused(error) {
    const request = this.#requests.get(error.ref);
    if (request !== undefined) {
      if (error.code === "draining") return; // it's sent again when the service is back
      this.#requests.delete(error.ref);
      request.reject(new SignalpostError(error.code, error.message, error));
    } else if (this.#orders.has(error.ref)) {
      const call = this.#orders.get(error.ref);
      this.#orders.delete(error.ref);
      call?.refused(error);
    } else {
      // Mostly nobody waits for a message to a room.
      const said = this.#delivery.refused(error);
      if (said !== null && said.to !== undefined) return;
      this.#tell("error", new SignalpostError(error.code, error.message, error));
    }
  }

  #hear(message) {
    const room = this.rooms.get(message.room);
    const call = this.calls.get(message.call);
    switch (message.type) {
      case "ice-servers":
        return this.#setIceServers(message.iceServers);
      case "delivered":
        return this.#delivery.delivered(message);
      case "peer-joined":
        this.#delivery.present(message.peer);
        return room?.arrive(message);
      case "peer-left":
        return room?.depart(message);
      case "room":
        return room?.changed(message);
      case "left":
        return room && this.#out(room, message.reason);
      case "text":
      case "signal":
        return this.#heard(message, room);
      case "incoming":
        return this.#rung(message, call);
      case "ringing":
        return call?.ring();
      case "accepted":
        return this.#accepted(message, call);
      case "ended":
        return call?.ended(message);
    }
  }

  #heard(message, room) {
    if (!this.#delivery.isNew(message)) return;
    const { type, from, text, data, id } = message;
    // A call's signals may come through a room that both are in.
    if (type === "signal" && [...this.calls.values()].some((call) => call.takes(message))) return;
    if (room !== undefined) return room.heard(message);
    this.#tell(type, type === "text" ? { from, text, id } : { from, data });
  }

  #rung({ call: id, from, user, name }, known) {
    if (known !== undefined) return known.again();
    if (this.#over.has(id)) return this.order({ type: "hang-up", call: id }, null);
    const call = new Call(this, { id, direction: "incoming", user, peer: from, name });
    this.calls.set(id, call);
    call.ring();
    this.#tell("incoming", { call });
  }

  /** If two called each other at once, the later call goes on, under the earlier one's id. */
  #accepted(message, call) {
    const mine = this.calls.get(message.instead);
    if (mine !== undefined) {
      this.calls.delete(mine.id);
      mine.id = message.call;
      this.calls.set(mine.id, mine);
      if (call !== undefined && call !== mine) call.merged();
    }
    this.#delivery.present(message.peer);
    (mine ?? call)?.accepted(message);
  }

  #end(error) {
    if (this.#closed !== null) return;
    const closed = error ?? new SignalpostError("closed", "the client is closed");
    this.#closed = closed;
    removeEventListener("online", this.#networkChanged);
    this.#opened.reject(closed);
    for (const { reject } of this.#requests.values()) reject(closed);
    this.#requests.clear();
    this.#delivery.close(closed);
    for (const room of [...this.rooms.values()]) this.#out(room, closed.code);
    for (const call of [...this.calls.values()]) call.ended({ outcome: "failed" });
    this.#tell("closed", { error });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
