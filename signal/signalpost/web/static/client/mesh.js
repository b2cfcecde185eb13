/** A mesh: a link with every peer of a room. */

import { randomId } from "./delivery.js";
import { Link } from "./link.js";

/** Events: `link` {peer, link} for each new link. A link is kept while its peer is in the room,
 * whatever happens to the path. A peer that returns after its link was closed gets a new one. */
export class Mesh extends EventTarget {
  #client;
  #tracks;
  #options;
  #stop = new AbortController();

  /** `tracks`: {audio, video} to send; `retry`: see Link. */
  constructor(client, room, { tracks = {}, iceTransportPolicy, retry } = {}) {
    super();
    this.#client = client;
    this.room = room;
    this.#tracks = { ...tracks };
    this.#options = { iceTransportPolicy, retry };
    /** Peer id → Link */
    this.links = new Map();
    const listen = (type, heard) =>
      room.addEventListener(type, ({ detail }) => heard(detail), { signal: this.#stop.signal });
    listen("peer-joined", (peer) => this.#meet(peer));
    listen("peer-returned", (peer) => this.#meet(peer));
    listen("peer-left", ({ peer }) => this.links.get(peer)?.reconsider());
    listen("signal", ({ from, data }) => this.#take(from, data));
    listen("left", () => this.close());
  }

  /** Start the links with the peers that are there already. The room's events do the rest. */
  start() {
    for (const peer of this.room.peers.values()) this.#meet(peer);
  }

  setTrack(kind, track) {
    this.#tracks[kind] = track;
    return Promise.all([...this.links.values()].map((link) => link.setTrack(kind, track)));
  }

  /** Send a value to every peer, over the data channels. */
  say(value) {
    for (const link of this.links.values()) link.say(value);
  }

  close() {
    this.#stop.abort();
    // The peers see this client leave the room.
    for (const link of this.links.values()) link.close({ tell: !this.room.closed });
  }

  /** The impolite peer makes the first offer; the other waits for it. */
  #meet({ peer, polite }) {
    const link = this.links.get(peer);
    if (link !== undefined) link.polite = polite;
    else if (!polite) this.#make(peer, randomId(), false, 1);
  }

  #make(peer, id, polite, generation) {
    const link = new Link({
      id,
      polite,
      offers: !polite,
      iceServers: this.#client.iceServers,
      tracks: this.#tracks,
      generation,
      persistent: () => !this.#stop.signal.aborted && this.room.peers.has(peer),
      send: (data) => this.room.signal(data, { to: peer }),
      ...this.#options,
    });
    this.links.set(peer, link);
    this.#client.adopt(link);
    link.addEventListener("closed", () => this.links.get(peer) === link && this.links.delete(peer));
    this.dispatchEvent(new CustomEvent("link", { detail: { peer, link } }));
    return link;
  }

  #take(from, data) {
    if (data === null || typeof data !== "object") return;
    const neighbour = this.room.peers.get(from);
    let link = this.links.get(from);
    if (link !== undefined && data.link !== undefined && data.link !== link.id) {
      // An older link's last message, unless the peer has begun anew.
      if (data.description?.type !== "offer") return;
      link.close({ tell: false });
      link = undefined;
    }
    if (link === undefined) {
      if (data.description?.type !== "offer" || neighbour === undefined) return;
      link = this.#make(from, data.link, true, data.generation ?? 1);
    }
    link.take(data);
  }
}
