/** A link: media and a data channel with one peer.
 *
 * Owns negotiation (the pattern of the WebRTC specification, section 10.7), trickle, and ICE
 * restarts when the path is lost. Refuses to know how its signals travel: `send` takes them, `take`
 * is given the other side's. One audio and one video sender are there from the start, with a track
 * or without, so that muting, a late camera or a shared screen need no new negotiation.
 */

import { read } from "./statistics.js";

const DISCONNECTED_MS = 3_000;
const RESTARTS_MS = [0, 4_000, 8_000, 15_000, 30_000];
const KINDS = ["audio", "video"];

/** Events: `state`, `track` {track, stream}, `message` (what the peer's `say` said), `closed`. */
export class Link extends EventTarget {
  #polite;
  #offers;
  #send;
  #tracks = { audio: null, video: null };
  #transceivers = {};
  #local = new MediaStream();
  #making = false;
  #answering = false;
  #ignoring = false;
  #described = false;
  #restarts = 0;
  #timer = null;
  #statistics = null;
  #state = "connecting";

  /** `offers`: whether this side makes the first offer. `tracks`: {audio, video} or a stream's. */
  constructor({ id, polite, offers, iceServers, iceTransportPolicy, send, tracks = {} }) {
    super();
    this.id = id;
    this.#polite = polite;
    this.#offers = offers;
    this.#send = (data) => send({ link: id, ...data });
    this.stream = new MediaStream();
    const pc = new RTCPeerConnection({ iceServers, iceTransportPolicy });
    this.pc = pc;
    pc.onnegotiationneeded = () => this.#offer();
    pc.onicecandidate = ({ candidate }) => candidate && this.#send({ candidate });
    pc.ontrack = ({ track }) => this.#arrived(track);
    pc.onconnectionstatechange = () => this.#changed();
    Object.assign(this.#tracks, tracks);
    if (offers) {
      for (const kind of KINDS) {
        const made = pc.addTransceiver(this.#tracks[kind] ?? kind, { streams: [this.#local] });
        this.#transceivers[kind] = made;
      }
    }
    // Negotiated, so that neither side waits for the other to open it.
    this.#channel = pc.createDataChannel("signalpost", { negotiated: true, id: 0 });
    this.#channel.onopen = () => this.#changed();
    this.#channel.onmessage = ({ data }) => this.#heard(data);
    // The other side has closed its connection: no state of `pc` says so at once.
    this.#channel.onclose = () => this.close();
  }

  #channel;

  /** `connecting`, `connected`, `interrupted` (the path is lost, another is sought) or `closed`. */
  get state() {
    return this.#state;
  }

  set polite(polite) {
    this.#polite = polite;
  }

  /** Send this track from now on, or null for none. */
  async setTrack(kind, track) {
    this.#tracks[kind] = track;
    await this.#transceivers[kind]?.sender.replaceTrack(track);
  }

  /** Over the data channel, in order and reliably. False when it is not open. */
  say(value) {
    if (this.#channel.readyState !== "open") return false;
    this.#channel.send(JSON.stringify(value));
    return true;
  }

  /** A fresh credential: it counts from the next restart on. */
  setIceServers(iceServers) {
    if (this.#state === "closed") return;
    this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers });
  }

  /** Look for another path, keeping media on this one until it is found. */
  restart() {
    if (this.#state !== "closed" && this.#described) this.pc.restartIce();
  }

  /** See `read` of statistics; rates are since the last call. */
  async statistics() {
    this.#statistics = read(await this.pc.getStats(), this.#statistics);
    return this.#statistics;
  }

  close() {
    if (this.#state === "closed") return;
    clearTimeout(this.#timer);
    this.pc.close();
    this.#set("closed");
    this.dispatchEvent(new Event("closed"));
  }

  async #offer() {
    // The other side's offer comes first; what it leaves to be negotiated is asked for again.
    if (!this.#offers && !this.#described) return;
    try {
      this.#making = true;
      await this.pc.setLocalDescription();
      this.#send({ description: this.pc.localDescription });
    } catch (error) {
      if (this.pc.signalingState !== "closed") throw error;
    } finally {
      this.#making = false;
    }
  }

  /** What the other side's `send` was given. */
  async take({ description, candidate }) {
    if (this.#state === "closed") return;
    try {
      if (description) await this.#describe(description);
      else if (candidate) await this.#addCandidate(candidate);
    } catch (error) {
      if (this.pc.signalingState !== "closed") throw error;
    }
  }

  async #describe(description) {
    const { pc } = this;
    const ready = !this.#making && (pc.signalingState === "stable" || this.#answering);
    const collision = description.type === "offer" && !ready;
    this.#ignoring = !this.#polite && collision;
    if (this.#ignoring) return;
    this.#answering = description.type === "answer";
    await pc.setRemoteDescription(description);
    this.#answering = false;
    this.#described = true;
    if (description.type !== "offer") return;
    this.#adopt();
    await pc.setLocalDescription();
    this.#send({ description: pc.localDescription });
  }

  async #addCandidate(candidate) {
    try {
      await this.pc.addIceCandidate(candidate);
    } catch (error) {
      // Candidates of an offer that was ignored belong to nothing.
      if (!this.#ignoring) throw error;
    }
  }

  /** Send on what the other side offered: the first of each kind. */
  #adopt() {
    for (const transceiver of this.pc.getTransceivers()) {
      const { kind } = transceiver.receiver.track;
      if (this.#transceivers[kind] !== undefined || transceiver.stopped) continue;
      this.#transceivers[kind] = transceiver;
      transceiver.direction = "sendrecv";
      transceiver.sender.setStreams?.(this.#local);
      transceiver.sender.replaceTrack(this.#tracks[kind]);
    }
  }

  #arrived(track) {
    for (const old of this.stream.getTracks()) {
      if (old.kind === track.kind && old !== track) this.stream.removeTrack(old);
    }
    this.stream.addTrack(track);
    this.dispatchEvent(new CustomEvent("track", { detail: { track, stream: this.stream } }));
  }

  #heard(data) {
    let detail;
    try {
      detail = JSON.parse(data);
    } catch {
      return; // another client's format
    }
    this.dispatchEvent(new CustomEvent("message", { detail }));
  }

  #changed() {
    switch (this.pc.connectionState) {
      case "connected":
        if (this.#channel.readyState !== "open") return;
        this.#restarts = 0;
        clearTimeout(this.#timer);
        return this.#set("connected");
      case "disconnected":
        this.#set("interrupted");
        return this.#restartIn(DISCONNECTED_MS);
      case "failed":
        this.#set("interrupted");
        return this.#restartIn(RESTARTS_MS[this.#restarts]);
    }
  }

  /** Restart unless it heals by itself; after the last try the link is given up. */
  #restartIn(milliseconds) {
    clearTimeout(this.#timer);
    if (milliseconds === undefined) return this.close();
    this.#timer = setTimeout(() => {
      this.#restarts += 1;
      this.restart();
      this.#restartIn(RESTARTS_MS[this.#restarts]);
    }, milliseconds);
  }

  #set(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.dispatchEvent(new Event("state"));
  }
}
