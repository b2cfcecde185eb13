/** A link: media and a data channel with one peer, for as long as both want it.
 *
 * Negotiation follows the WebRTC specification, section 10.7, with trickle. When the path is lost, the
 * link looks for another one: first with ICE restarts, then with a new RTCPeerConnection, the link's
 * next generation. Only the side that made the first offer begins a generation, so that both agree on
 * it; the other side asks for one. `send` takes this side's signals, and `take` gets the other side's.
 * There is one audio and one video sender from the start, with a track or without, so that muting, a
 * late camera or a shared screen need no new negotiation.
 */

import { bytes, copied, tooLarge } from "./limits.js";
import { read } from "./statistics.js";

/** `disconnectedMs`: how long a lost path may heal by itself. Then the waits between tries grow from
 * `firstMs` by half up to `mostMs`. The first `restarts` tries are ICE restarts, the later ones new
 * connections. `giveUpMs`: how long a link lasts whose peer is gone. */
const RETRY = Object.freeze({
  disconnectedMs: 3_000,
  firstMs: 4_000,
  mostMs: 15_000,
  giveUpMs: 60_000,
  restarts: 2,
});
const FACTOR = 1.5;
/** The side that doesn't begin waits longer, so that the two don't disturb each other. */
const SECOND = 1.5;
/** A peer that has never answered may not want a link at all. */
const UNANSWERED = 4;
/** After a channel has closed: the other side may be about to say why. */
const LAST_WORD_MS = 1_000;
/** Between two connections that the other side asks for. */
const AGAIN_MS = 2_000;
/** Every browser accepts this much over a data channel (RFC 8841, section 6.1). */
const MESSAGE_BYTES = 65_536;
const KINDS = ["audio", "video"];

/** Events: `state`, `track` {track, stream}, `message` (from the peer's `say`), `closed`. */
export class Link extends EventTarget {
  #polite;
  #offers;
  #send;
  #persistent;
  #retry;
  #configuration;
  #tracks = { audio: null, video: null };
  #local = new MediaStream();
  /** The current generation: {number, pc, channel, transceivers, and the state of negotiation}. */
  #now = null;
  #tries = 0;
  #troubledAt = performance.now();
  #timer = null;
  #due = Infinity;
  #begunAt = 0;
  #statistics = null;
  #state = "connecting";

  /** `offers`: whether this side makes the first offer. `tracks`: {audio, video} or a stream's.
   * `persistent` tells whether the peer is still there: a link to it is never given up. */
  constructor({
    id, polite, offers, iceServers, iceTransportPolicy, send, tracks, retry, generation = 1, persistent = () => false,
  }) {
    super();
    this.id = id;
    this.#polite = polite;
    this.#offers = offers;
    this.#send = send;
    this.#persistent = persistent;
    this.#retry = { ...RETRY, ...retry };
    this.#configuration = { iceServers, iceTransportPolicy };
    /** The other side's media: one stream for all generations. */
    this.stream = new MediaStream();
    Object.assign(this.#tracks, tracks);
    this.#begin(generation);
    this.#schedule(this.#retry.mostMs * this.#patience);
  }

  /** The current connection. Another one may take its place. */
  get pc() {
    return this.#now.pc;
  }

  get generation() {
    return this.#now.number;
  }

  /** `connecting`, `connected`, `interrupted` (the path is lost, and the link looks for another) or `closed`. */
  get state() {
    return this.#state;
  }

  set polite(polite) {
    this.#polite = polite;
  }

  /** Send this track from now on, null for none. */
  async setTrack(kind, track) {
    this.#tracks[kind] = track;
    const { pc, transceivers } = this.#now;
    try {
      await transceivers[kind]?.sender.replaceTrack(track);
    } catch (error) {
      if (pc === this.pc && this.#state !== "closed") throw error;
    }
  }

  /** Over the data channel, in order and reliably. False when it is not open, or takes no more.
   * Throws a SignalpostError for what is no JSON, or larger than the peer takes. */
  say(value) {
    const json = JSON.stringify(copied(value, "a message") ?? null);
    const { pc, channel } = this.#now;
    if (channel.readyState !== "open") return false;
    const most = pc.sctp?.maxMessageSize || MESSAGE_BYTES;
    if (bytes(json) > most) throw tooLarge(most);
    try {
      channel.send(json);
    } catch {
      return false; // too much is waiting already
    }
    return true;
  }

  /** Use fresh credentials, from the next restart on. */
  setIceServers(iceServers) {
    if (this.#state === "closed") return;
    this.#configuration = { ...this.#configuration, iceServers };
    // A closed connection accepts none. The next one has them from the start.
    if (this.pc.signalingState !== "closed") {
      this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers });
    }
  }

  /** Look for another path, keeping media on this one until it is found. */
  restart() {
    if (this.#state !== "closed" && this.#now.described) this.pc.restartIce(); // none if it ended
  }

  /** See `read` of statistics; rates are since the last call. */
  async statistics() {
    this.#statistics = read(await this.pc.getStats(), this.#statistics);
    return this.#statistics;
  }

  /** Close the link for good. The other side is told, unless it knows. */
  close({ tell = true } = {}) {
    if (this.#state === "closed") return;
    clearTimeout(this.#timer);
    discard(this.#now);
    this.#set("closed");
    if (tell) this.#signal(this.#now, { closed: true });
    this.dispatchEvent(new Event("closed"));
  }

  /** The peer may be gone. If its connection is gone too, there is nothing to wait for. */
  reconsider() {
    if (this.#now.gone && !this.#persistent()) this.close();
  }

  // --- generations -----------------------------------------------------------------------------

  #begin(number) {
    const pc = new RTCPeerConnection(this.#configuration);
    // Negotiated, so that neither side waits for the other to open it.
    const channel = pc.createDataChannel("signalpost", { negotiated: true, id: 0 });
    const now = {
      number, pc, channel, transceivers: {},
      making: false, answering: false, ignoring: false, described: false, gone: false,
    };
    if (this.#now !== null) discard(this.#now);
    this.#now = now;
    this.#begunAt = performance.now();
    this.#statistics = null;
    pc.onnegotiationneeded = () => this.#offer(now);
    pc.onicecandidate = ({ candidate }) => candidate && this.#signal(now, { candidate });
    pc.ontrack = ({ track }) => this.#arrived(track);
    pc.onconnectionstatechange = () => this.#changed(now);
    if (this.#offers) {
      for (const kind of KINDS) {
        now.transceivers[kind] = pc.addTransceiver(this.#tracks[kind] ?? kind, { streams: [this.#local] });
      }
    }
    channel.onopen = () => this.#changed(now);
    channel.onmessage = ({ data }) => this.#heard(data);
    channel.onclose = () => this.#gone(now);
  }

  /** The other side has closed its connection: no state of `pc` says so at once. It may have begun
   * another, or be about to say goodbye. */
  #gone(now) {
    if (now !== this.#now || this.#state === "closed") return;
    now.gone = true;
    if (!this.#persistent()) return this.close();
    this.#set("interrupted");
    this.#troubled(LAST_WORD_MS);
  }

  #signal({ number }, data) {
    this.#send({ link: this.id, ...(number > 1 && { generation: number }), ...data });
  }

  // --- negotiation -----------------------------------------------------------------------------

  async #offer(now) {
    // The other side's offer comes first. What it leaves open is negotiated again.
    if (!this.#offers && !now.described) return;
    try {
      now.making = true;
      await now.pc.setLocalDescription();
      this.#signal(now, { description: now.pc.localDescription });
    } catch (error) {
      if (now.pc.signalingState !== "closed") throw error;
    } finally {
      now.making = false;
    }
  }

  /** Take a signal from the other side's `send`. A useless one counts as a lost path. */
  async take({ description, candidate, closed, again, generation = 1 }) {
    if (this.#state === "closed") return;
    if (closed) return this.close({ tell: false });
    if (again !== undefined) return this.#asked(again);
    if (generation > this.generation && !this.#offers && description?.type === "offer") {
      // The other side noticed first that the path is lost.
      this.#troubledAt ??= performance.now();
      this.#begin(generation);
      this.#schedule(this.#retry.mostMs * SECOND);
      if (this.#state === "connected") this.#set("interrupted");
    }
    const now = this.#now;
    if (generation !== now.number) return;
    try {
      if (description) await this.#describe(now, description);
      else if (candidate) await this.#addCandidate(now, candidate);
    } catch {
      if (now === this.#now && now.pc.signalingState !== "closed") this.#troubled(this.#retry.firstMs);
    }
  }

  async #describe(now, description) {
    const { pc } = now;
    const ready = !now.making && (pc.signalingState === "stable" || now.answering);
    const collision = description.type === "offer" && !ready;
    now.ignoring = !this.#polite && collision;
    if (now.ignoring) return;
    now.answering = description.type === "answer";
    try {
      await pc.setRemoteDescription(description);
    } finally {
      now.answering = false;
    }
    now.described = true;
    if (description.type !== "offer") return;
    this.#wait(this.#retry.firstMs * SECOND);
    this.#adopt(now);
    await pc.setLocalDescription();
    this.#signal(now, { description: pc.localDescription });
  }

  async #addCandidate(now, candidate) {
    try {
      await now.pc.addIceCandidate(candidate);
    } catch (error) {
      // Candidates of an ignored offer belong to nothing.
      if (!now.ignoring) throw error;
    }
  }

  /** Send on the transceivers that the other side offered: the first of each kind. */
  #adopt({ pc, transceivers }) {
    for (const transceiver of pc.getTransceivers()) {
      const { kind } = transceiver.receiver.track;
      if (transceivers[kind] !== undefined || transceiver.stopped) continue;
      transceivers[kind] = transceiver;
      transceiver.direction = "sendrecv";
      transceiver.sender.setStreams?.(this.#local);
      // It fails if another generation comes first.
      transceiver.sender.replaceTrack(this.#tracks[kind]).catch(() => {});
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

  // --- a path that is lost ---------------------------------------------------------------------

  #changed(now) {
    if (now !== this.#now || this.#state === "closed") return;
    switch (now.pc.connectionState) {
      case "connected":
        if (now.channel.readyState !== "open") return;
        this.#tries = 0;
        this.#troubledAt = null;
        this.#schedule(Infinity);
        return this.#set("connected");
      case "disconnected":
        this.#set("interrupted");
        return this.#troubled(this.#retry.disconnectedMs);
      case "failed":
        this.#set("interrupted");
        return this.#troubled(0);
    }
  }

  get #patience() {
    return this.#offers ? 1 : SECOND;
  }

  /** Look for another path this soon, unless the next try is due earlier. */
  #troubled(milliseconds) {
    this.#troubledAt ??= performance.now();
    const wait = this.#offers ? milliseconds : milliseconds + this.#retry.firstMs;
    if (this.#tries === 0 || this.#due === Infinity) {
      if (performance.now() + wait < this.#due) this.#schedule(wait);
    }
  }

  /** The other side is trying, so this side's next try can wait this long. */
  #wait(milliseconds) {
    if (this.#due !== Infinity && performance.now() + milliseconds > this.#due) this.#schedule(milliseconds);
  }

  #schedule(milliseconds) {
    clearTimeout(this.#timer);
    this.#due = performance.now() + milliseconds;
    if (milliseconds !== Infinity) this.#timer = setTimeout(() => this.#try(), milliseconds);
  }

  #try() {
    this.#troubledAt ??= performance.now();
    const given = performance.now() - this.#troubledAt;
    if (given >= this.#retry.giveUpMs && !this.#persistent()) return this.close();
    this.#tries += 1;
    const { described, gone } = this.#now;
    const { firstMs, mostMs, restarts } = this.#retry;
    const restartable = described && !gone;
    if (restartable && this.#tries <= (this.#offers ? restarts : 1)) this.restart();
    else if (this.#offers) this.#beginNext();
    else this.#signal(this.#now, { again: this.generation });
    const most = described ? mostMs : mostMs * UNANSWERED;
    const wait = Math.min(most, firstMs * FACTOR ** Math.min(this.#tries - 1, 20)) * this.#patience;
    // Jitter: otherwise everybody asks the relay at once when it is back.
    this.#schedule(wait * (0.75 + Math.random() / 4));
  }

  #beginNext() {
    try {
      this.#begin(this.generation + 1);
    } catch {
      // The browser has no more connections. The next try may get one.
    }
  }

  /** The other side can't use this generation. */
  #asked(number) {
    const fresh = performance.now() - this.#begunAt < AGAIN_MS;
    if (!this.#offers || number !== this.generation || fresh) return;
    this.#set("interrupted");
    this.#troubledAt ??= performance.now();
    this.#tries += 1;
    this.#beginNext();
    this.#schedule(this.#retry.firstMs);
  }

  #set(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.dispatchEvent(new Event("state"));
  }
}

/** End a generation's connection, without its last events. */
function discard({ pc, channel }) {
  pc.onnegotiationneeded = pc.onicecandidate = pc.ontrack = pc.onconnectionstatechange = null;
  channel.onopen = channel.onmessage = channel.onclose = null;
  pc.close();
}
