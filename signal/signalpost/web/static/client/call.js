/** A call with a user, from the first ring to its outcome. */

import { RETURN_MS } from "./delivery.js";
import { SignalpostError } from "./errors.js";
import { picked } from "./limits.js";
import { Link } from "./link.js";

const LAST_WORD_MS = 1_000;

/** Events: `state`; `link` {link}, once the call is accepted; `ended` {outcome, reason, error}. */
export class Call extends EventTarget {
  #client;
  #tracks = {};
  #options = {};
  #answered = false;
  #connected = false;
  #returning = null;

  constructor(client, { id, direction, user, peer = null, name = null }) {
    super();
    this.#client = client;
    this.id = id;
    /** `outgoing` or `incoming`. */
    this.direction = direction;
    this.user = user;
    this.name = name;
    this.peer = peer;
    /** `calling`, `ringing`, `incoming`, `accepted`, `connected` or `ended`. */
    this.state = direction === "incoming" ? "incoming" : "calling";
    this.link = null;
    this.outcome = null;
    this.reason = null;
    /** A SignalpostError if the service refused the call. */
    this.error = null;
  }

  /** Accept the call. `tracks`: {audio, video} to send. */
  accept(options) {
    this.prepare(options);
    this.#answered = true;
    this.#say("accept");
  }

  reject(reason) {
    this.#say("reject", reason);
    this.ended({ outcome: "rejected", reason });
  }

  /** Say that this device is busy. The user's other devices ring on. */
  busy() {
    this.#say("busy");
    this.ended({ outcome: "busy" });
  }

  /** End the call in any state. */
  hangUp(reason) {
    if (this.state === "ended") return;
    this.#say("hang-up", reason);
    const unanswered = this.direction === "outgoing" ? "cancelled" : "rejected";
    this.ended({ outcome: this.#connected ? "completed" : this.link !== null ? "failed" : unanswered, reason });
  }

  /** Set what to send, before there is a link. */
  prepare(options) {
    const { tracks, iceTransportPolicy, retry } = picked(options, "tracks", "iceTransportPolicy", "retry");
    Object.assign(this.#tracks, tracks);
    this.#options = { iceTransportPolicy, retry };
  }

  async setTrack(kind, track) {
    this.#tracks[kind] = track;
    await this.link?.setTrack(kind, track);
  }

  /** Throws a SignalpostError for a bad reason. */
  #say(type, reason) {
    this.#client.order({ type, call: this.id, reason }, this);
  }

  #set(state) {
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }

  // --- told by the client ----------------------------------------------------------------------

  ring() {
    if (this.direction === "incoming") this.#say("rings");
    else if (this.state === "calling") this.#set("ringing");
  }

  accepted({ peer, polite }) {
    clearTimeout(this.#returning);
    this.peer = peer;
    if (this.link !== null) {
      // The call was stated again after a restart of the service. The media never stopped.
      this.link.polite = polite;
      if (this.link.state === "connected") this.#say("connected");
      else this.link.restart();
      return;
    }
    try {
      this.link = this.#linked(polite);
    } catch (error) {
      // The browser can't do what was asked for.
      this.error = new SignalpostError("failed", String(error?.message ?? error));
      return this.hangUp();
    }
    this.#client.adopt(this.link);
    this.link.addEventListener("state", () => this.#moved());
    // Mostly the other side hung up, and the service is about to say so.
    this.link.addEventListener("closed", () => setTimeout(() => this.hangUp(), LAST_WORD_MS));
    this.dispatchEvent(new CustomEvent("link", { detail: { link: this.link } }));
    this.#set("accepted");
  }

  #linked(polite) {
    return new Link({
      id: this.id,
      polite,
      offers: !polite,
      iceServers: this.#client.iceServers,
      tracks: this.#tracks,
      // After there has been a path, the link looks for one until somebody hangs up.
      persistent: () => this.#connected && this.state !== "ended",
      send: (data) => this.#client.signal(this.peer, data),
      ...this.#options,
    });
  }

  #moved() {
    if (this.link.state !== "connected" || this.#connected) return;
    this.#connected = true;
    this.#say("connected");
    this.#set("connected");
  }

  /** Whether a signal belongs to this call's link. */
  takes({ from, data }) {
    if (this.link === null || from !== this.peer || data === null || typeof data !== "object") return false;
    if (data.link !== undefined && data.link !== this.link.id) return false;
    this.link.take(data);
    return true;
  }

  /** The service has forgotten the call. State it again, or wait for the caller to do so. */
  reset() {
    if (this.direction === "outgoing") {
      this.#client.order({ type: "invite", call: this.id, user: this.user }, this);
    } else if (this.#answered) {
      this.#say("accept");
    }
    if (this.direction === "incoming" && this.link?.state !== "connected") {
      clearTimeout(this.#returning);
      this.#returning = setTimeout(() => this.ended({ outcome: "lost" }), RETURN_MS);
    }
  }

  /** The caller stated the call again. */
  again() {
    clearTimeout(this.#returning);
    this.#say(this.#answered ? "accept" : "rings");
  }

  /** Another call took its place, because the two had called each other. */
  merged() {
    this.#set("ended");
    this.dispatchEvent(new CustomEvent("ended", { detail: { outcome: "merged", reason: null, error: null } }));
  }

  refused(error) {
    // The other side ended it first: its `ended` says how.
    if (error.code === "already-answered" || (error.code === "not-in-call" && this.link !== null)) return;
    if (this.state === "ended") return;
    this.error = new SignalpostError(error.code, error.message);
    this.ended({ outcome: "failed" });
  }

  ended({ outcome, reason }) {
    if (this.state === "ended") return;
    clearTimeout(this.#returning);
    this.outcome = outcome;
    this.reason = reason ?? null;
    this.state = "ended";
    this.#client.forget(this);
    const detail = { outcome, reason: this.reason, error: this.error };
    this.dispatchEvent(new CustomEvent("ended", { detail }));
    this.link?.close({ tell: false });
  }
}
