/** A meeting: what a call and a room have in common for the page. */

import { Mesh } from "../client.js";

/** Events: `link` {peer, link, name}, `unlink` {peer, name}, `state`, `over` {outcome, reason}. */
class Meeting extends EventTarget {
  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

export class CallMeeting extends Meeting {
  constructor(call, name) {
    super();
    this.call = call;
    this.name = name;
    call.addEventListener("link", ({ detail }) => {
      detail.link.addEventListener("state", () => this.tell("state"));
      this.tell("link", { peer: call.peer, link: detail.link, name });
    });
    call.addEventListener("state", () => this.tell("state"));
    call.addEventListener("ended", ({ detail }) => this.tell("over", detail));
  }

  /** A key of the words, with its values. */
  get title() {
    return ["call-with", { name: this.name }];
  }

  get state() {
    const { link, state } = this.call;
    if (link?.state === "interrupted") return ["state-interrupted", {}];
    return [state === "incoming" ? "state-accepted" : `state-${state}`, {}];
  }

  setTrack(kind, track) {
    return this.call.setTrack(kind, track);
  }

  say(value) {
    return this.call.link?.say(value) ?? false;
  }

  leave() {
    this.call.hangUp();
  }
}

export class RoomMeeting extends Meeting {
  #mesh;

  /** Set the tracks before joining the room: the first offer comes at once. */
  constructor(client, room, tracks, nameless) {
    super();
    this.room = room;
    this.#mesh = new Mesh(client, room, { tracks });
    const named = (peer) => room.peers.get(peer)?.name || nameless();
    this.#mesh.addEventListener("link", ({ detail: { peer, link } }) => {
      const name = named(peer);
      link.addEventListener("closed", () => this.tell("unlink", { peer, name, link }));
      this.tell("link", { peer, link, name });
    });
    room.addEventListener("peer-joined", ({ detail }) => this.tell("joined", { name: detail.name || nameless() }));
    room.addEventListener("peer-left", ({ detail }) => this.#gone(detail, nameless));
    room.addEventListener("left", ({ detail }) => this.tell("over", { outcome: "left", reason: detail.reason }));
  }

  start() {
    this.#mesh.start();
  }

  /** Media may go on after the service has lost a peer. If the link is lost too, it's over. */
  #gone({ peer, name }, nameless) {
    const link = this.#mesh.links.get(peer);
    if (link?.state !== "connected") link?.close();
    this.tell("left", { name: name || nameless() });
  }

  get title() {
    return ["room", { room: this.room.name }];
  }

  get state() {
    const count = this.room.peers.size + 1;
    return count === 1 ? ["state-alone", {}] : ["state-people", { count }];
  }

  setTrack(kind, track) {
    return this.#mesh.setTrack(kind, track);
  }

  say(value) {
    this.#mesh.say(value);
    return [...this.#mesh.links.values()].some(({ state }) => state === "connected");
  }

  leave() {
    this.room.leave();
  }
}
