/** The connection: one session over as many sockets as it takes.
 *
 * Owns numbers, acknowledgements, replay and when to try again (docs/protocol.md, "Nothing lost").
 * Refuses to know what the messages mean. What it hands on comes once and in order: that rule must
 * not be broken.
 */

import { SignalpostError } from "./errors.js";

const ACK_EVERY = 16;
const ACK_MS = 1_000;
/** The service acknowledges within 2 s: who is silent for longer is gone. */
const SILENCE_MS = 8_000;
const OPEN_MS = 8_000;
const FIRST_DELAY_MS = 200;
const DELAY_MS = 2_000;
const LONG_DELAY_MS = 15_000;
/** For as long a session may be resumed, so the client hurries. */
const HURRY_MS = 40_000;
/** Below `limits.messages` and `limits.message_burst`, which end in a closed connection. */
const BURST = 80;
const RATE = 40;
/** A close code of our own: 1000 and 1001 would say goodbye for good. */
const RESUMING = 4000;
const FATAL = new Set(["unauthorized", "guest-refused", "origin-refused"]);

/** Events: `welcome` {message, reset, unacknowledged}, `message`, `state`, `refused` (fatal). */
export class Connection extends EventTarget {
  #url;
  #token;
  #hello;
  #socket = null;
  #state = "closed";
  #session = null;
  #received = 0;
  #acknowledged = 0;
  #ackTimer = null;
  #sent = 0;
  /** What the service has not acknowledged: {seq, message, text}. */
  #kept = [];
  /** Up to this number everything was written to the socket that is open. */
  #flushed = 0;
  #flushTimer = null;
  #allowance = { left: BURST, at: 0 };
  #silence = null;
  #attempt = 0;
  #lostAt = 0;
  #retry = null;
  #notBefore = 0;
  #lastError = null;
  #listening = new AbortController();

  constructor(url, { token, name }) {
    super();
    this.#url = new URL(url, location.href);
    this.#url.protocol = this.#url.protocol.replace("http", "ws");
    this.#token = token;
    this.#hello = { type: "hello", name, reliable: true };
  }

  /** `connecting`, `open`, `waiting` (for the next try) or `closed`. */
  get state() {
    return this.#state;
  }

  open() {
    const { signal } = this.#listening;
    // A socket does not notice that its network is another one now.
    addEventListener("online", () => this.renew(), { signal });
    navigator.connection?.addEventListener?.("change", () => this.renew(), { signal });
    this.#lostAt = performance.now();
    this.#connect();
  }

  /** Say goodbye: the service forgets this session. */
  close() {
    this.#listening.abort();
    this.#detach(1000);
    clearTimeout(this.#retry);
    this.#set("closed");
  }

  /** Take a new socket now and resume on it. */
  renew() {
    if (this.#state === "closed" || performance.now() < this.#notBefore) return;
    this.#detach(RESUMING);
    clearTimeout(this.#retry);
    this.#attempt = 0;
    this.#connect();
  }

  /** Number a message, keep it, and send it as soon as there is a way. */
  send(message) {
    const seq = ++this.#sent;
    this.#kept.push({ seq, message, text: JSON.stringify({ ...message, seq }) });
    this.#flush();
  }

  #set(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.dispatchEvent(new Event("state"));
  }

  #connect() {
    this.#set("connecting");
    this.#lastError = null;
    const socket = new WebSocket(this.#url, "signalpost.v1");
    this.#socket = socket;
    let opened = false;
    const patience = setTimeout(() => this.#lose(socket, opened), OPEN_MS);
    socket.onopen = () => {
      opened = true;
      this.#greet(socket).catch(() => this.#lose(socket, opened));
    };
    socket.onmessage = ({ data }) => {
      clearTimeout(patience);
      this.#take(JSON.parse(data));
    };
    socket.onclose = () => {
      clearTimeout(patience);
      this.#lose(socket, opened);
    };
  }

  async #greet(socket) {
    const token = await (typeof this.#token === "function" ? this.#token() : this.#token);
    if (socket !== this.#socket) return;
    const resume = this.#session && { session: this.#session, received: this.#received };
    socket.send(JSON.stringify({ ...this.#hello, token, ...(resume && { resume }) }));
  }

  #detach(code) {
    const socket = this.#socket;
    this.#socket = null;
    for (const timer of [this.#ackTimer, this.#silence, this.#flushTimer]) clearTimeout(timer);
    this.#ackTimer = this.#silence = this.#flushTimer = null;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    if (socket.readyState <= WebSocket.OPEN) socket.close(code);
  }

  async #lose(socket, opened) {
    if (socket !== this.#socket) return;
    const wasOpen = this.#state === "open";
    this.#detach(RESUMING);
    if (!opened && this.#session === null) this.#lastError ??= await refusal(this.#url);
    const error = this.#lastError;
    if (this.#state === "closed" || this.#socket !== null) return;
    if (error !== null && FATAL.has(error.code)) {
      this.close();
      this.dispatchEvent(new CustomEvent("refused", { detail: error }));
      return;
    }
    // The service and we count differently: start anew, as after its restart.
    if (error?.code === "out-of-order") this.#session = "";
    const now = performance.now();
    if (wasOpen) this.#lostAt = now;
    const most = now - this.#lostAt < HURRY_MS ? DELAY_MS : LONG_DELAY_MS;
    const backoff = Math.min(most, FIRST_DELAY_MS * 2 ** this.#attempt++);
    const told = Math.max(this.#notBefore - now, (error?.retryAfter ?? 0) * 1000);
    // Jitter, or everybody comes back at once.
    this.#set("waiting");
    this.#retry = setTimeout(() => this.#connect(), told + backoff * (0.5 + Math.random() / 2));
  }

  #take(message) {
    this.#listen();
    if (message.seq !== undefined && message.type !== "ack") {
      // (An ack's number is one of ours.)
      if (message.seq <= this.#received) return;
      if (message.seq > this.#received + 1) return this.renew();
      this.#received = message.seq;
      this.#owe();
    }
    switch (message.type) {
      case "welcome":
        return this.#welcomed(message);
      case "ack":
        this.#kept = this.#kept.filter(({ seq }) => seq > message.seq);
        return this.#listen();
      case "go-away":
        return this.#leave(message);
      case "error":
        this.#lastError = new SignalpostError(message.code, message.message, message);
    }
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  #welcomed(message) {
    const reset = this.#session !== null && message.resumed !== true;
    let unacknowledged = [];
    this.#session = message.session;
    this.#attempt = 0;
    if (reset) {
      unacknowledged = this.#kept.map((kept) => kept.message);
      this.#kept = [];
      this.#sent = this.#received = 0;
    } else {
      this.#kept = this.#kept.filter(({ seq }) => seq > message.received);
    }
    this.#acknowledged = this.#received;
    this.#flushed = 0;
    this.#allowance = { left: BURST, at: performance.now() };
    this.#set("open");
    this.dispatchEvent(new CustomEvent("welcome", { detail: { message, reset, unacknowledged } }));
    this.#flush();
  }

  #flush() {
    if (this.#state !== "open" || this.#flushTimer !== null) return;
    for (const { seq, text } of this.#kept) {
      if (seq <= this.#flushed) continue;
      if (!this.#allowed()) {
        this.#flushTimer = setTimeout(() => {
          this.#flushTimer = null;
          this.#flush();
        }, 1000 / RATE);
        break;
      }
      this.#socket.send(text);
      this.#flushed = seq;
    }
    if (this.#silence === null) this.#listen();
  }

  #allowed() {
    const now = performance.now();
    const { left, at } = this.#allowance;
    const refilled = Math.min(BURST, left + ((now - at) / 1000) * RATE);
    this.#allowance = { left: refilled < 1 ? refilled : refilled - 1, at: now };
    return refilled >= 1;
  }

  /** Something came; while an answer is due, silence means that the connection is dead. */
  #listen() {
    clearTimeout(this.#silence);
    this.#silence = null;
    if (this.#kept.length > 0) this.#silence = setTimeout(() => this.renew(), SILENCE_MS);
  }

  #owe() {
    if (this.#received - this.#acknowledged >= ACK_EVERY) this.#acknowledge();
    else this.#ackTimer ??= setTimeout(() => this.#acknowledge(), ACK_MS);
  }

  #acknowledge() {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = null;
    if (this.#state !== "open") return;
    this.#acknowledged = this.#received;
    this.#socket.send(JSON.stringify({ type: "ack", seq: this.#received }));
  }

  /** The service stops: what is under way gets a moment, then we come back when it said. */
  #leave({ retryAfterMs, closesInMs }) {
    this.#notBefore = performance.now() + retryAfterMs;
    const socket = this.#socket;
    setTimeout(() => this.#lose(socket, true), Math.min(ACK_MS, closesInMs));
  }
}

/** Why a WebSocket was refused: browsers do not tell, so ask over HTTP. A POST, since it carries the
 * Origin that is judged. */
async function refusal(url) {
  const http = new URL(url);
  http.protocol = http.protocol.replace("ws", "http");
  try {
    const response = await fetch(http, { method: "POST" });
    if (response.status === 405) return null;
    const { code, detail } = await response.json();
    return new SignalpostError(code, detail);
  } catch {
    return null;
  }
}
