/** The connection: one session over as many sockets as it takes.
 *
 * Owns numbers, acknowledgements, replay and when to try again (docs/protocol.md, "Nothing lost").
 * Refuses to know what the messages mean. What it hands on comes once and in order: that rule must
 * not be broken.
 */

import { SignalpostError } from "./errors.js";
import { LIMITS, bytes, checked, tooLarge } from "./limits.js";

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
/** A connection that lived for as long was a good one: the next may be tried at once. */
const STEADY_MS = 5_000;
/** For a token: the service waits five seconds for the hello. */
const TOKEN_MS = 4_500;
/** Below the service's own limits, which end in a closed connection. */
const BURST = 80;
const RATE = 40;
/** Of the limits that a service announces. */
const SHARE = 0.8;
/** A close code of our own: 1000 and 1001 would say goodbye for good. */
const RESUMING = 4000;
/** A message was larger than the service takes. */
const TOO_BIG = 1009;
/** Closed for a reason that the error before it names. */
const WITH_REASON = new Set([1008, 1013]);
const FATAL = new Set(["unauthorized", "guest-refused", "origin-refused", "banned", "token-failed"]);
/** Answers to a hello that no other hello of ours would change. */
const HELLO_REFUSED = new Set(["malformed", "bad-parameter"]);
/** More than was ever received: the service then starts anew, as the same peer. */
const UNHEARD_OF = Number.MAX_SAFE_INTEGER;

/** Events: `welcome` {message, reset, unacknowledged}, `message`, `taken` (the service has it),
 * `dropped` {message, error} (it is not sent again), `state`, `refused` (fatal). */
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
  #pace = { rate: RATE, burst: BURST };
  #allowance = { left: BURST, at: 0 };
  #openedAt = 0;
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
    this.#hello = checked({ type: "hello", name, reliable: true });
    if (typeof token !== "function") checked({ type: "hello", token });
  }

  /** Bytes of a message that the service takes. */
  most = LIMITS.frame;

  /** `connecting`, `open`, `waiting` (for the next try) or `closed`. */
  get state() {
    return this.#state;
  }

  open() {
    if (this.#state !== "closed" || this.#listening.signal.aborted) return;
    const { signal } = this.#listening;
    // A socket does not notice that its network is another one now.
    addEventListener("online", () => this.#renewNow(), { signal });
    navigator.connection?.addEventListener?.("change", () => this.#renewNow(), { signal });
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

  /** The network is another one: take a new socket now and resume on it. */
  #renewNow() {
    if (this.#state === "closed" || performance.now() < this.#notBefore) return;
    this.#detach(RESUMING);
    clearTimeout(this.#retry);
    this.#connect();
  }

  /** This socket is of no use. */
  #renew() {
    if (this.#socket !== null) this.#lose(this.#socket, true);
  }

  /** Number a message, keep it, and send it as soon as there is a way. It has been `checked`; what
   * this service takes may be less than what the one before took. */
  send(message) {
    if (bytes(JSON.stringify(message)) > this.most) {
      return queueMicrotask(() => this.#drop(message, tooLarge(this.most)));
    }
    this.#keep(message);
    this.#flush();
  }

  #keep(message) {
    const seq = ++this.#sent;
    const text = JSON.stringify({ ...message, seq });
    this.#kept.push({ seq, message, text, size: bytes(text) });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #drop(message, error) {
    this.#tell("dropped", { message, error });
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
    socket.onclose = ({ code }) => {
      clearTimeout(patience);
      this.#lose(socket, opened, code);
    };
  }

  async #greet(socket) {
    let token;
    try {
      token = await (typeof this.#token === "function" ? within(TOKEN_MS, this.#token()) : this.#token);
      checked({ ...this.#hello, token });
    } catch (error) {
      // Later the network may be to blame, which is given as long as a session lasts.
      const hopeless = this.#session === null || performance.now() - this.#lostAt > HURRY_MS;
      const failed = new SignalpostError("token-failed", `no token: ${error?.message ?? error}`);
      return socket === this.#socket && (hopeless ? this.#refuse(failed) : this.#lose(socket, true));
    }
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

  /** Nothing is to be hoped for. */
  #refuse(error) {
    this.close();
    this.#tell("refused", error);
  }

  async #lose(socket, opened, code) {
    if (socket !== this.#socket) return;
    const wasOpen = this.#state === "open";
    const flushed = wasOpen ? this.#flushed : 0;
    this.#detach(RESUMING);
    // An error before it may have been about anything.
    let error = WITH_REASON.has(code) ? this.#lastError : null;
    if (!opened && this.#session === null) {
      error ??= await refusal(this.#url);
      if (this.#state === "closed" || this.#socket !== null) return;
    }
    if (code === TOO_BIG && !wasOpen) error = Object.assign(tooLarge(this.most), { final: true });
    if (error !== null && (error.final || FATAL.has(error.code))) return this.#refuse(error);
    if (code === TOO_BIG) this.#closedForSize(flushed);
    // The service and we count differently: start anew, as after its restart.
    if (error?.code === "out-of-order") this.#received = UNHEARD_OF;
    const now = performance.now();
    if (wasOpen && now - this.#openedAt >= STEADY_MS) {
      this.#attempt = 0;
      this.#lostAt = now;
    }
    const most = now - this.#lostAt < HURRY_MS ? DELAY_MS : LONG_DELAY_MS;
    const backoff = Math.min(most, FIRST_DELAY_MS * 2 ** this.#attempt++);
    const told = Math.max(this.#notBefore - now, (error?.retryAfter ?? 0) * 1000);
    // Jitter, or everybody comes back at once.
    this.#set("waiting");
    this.#retry = setTimeout(() => this.#connect(), told + backoff * (0.5 + Math.random() / 2));
  }

  /** A message was too large, and the service does not say which. The largest that was written is
   * one such: it and its like are not sent again. */
  #closedForSize(flushed) {
    const written = this.#kept.filter(({ seq }) => seq <= flushed).map(({ size }) => size);
    if (written.length > 0) this.most = Math.min(this.most, Math.max(...written) - 1);
  }

  #take(message) {
    this.#listen();
    if (message.seq !== undefined && message.type !== "ack") {
      // (An ack's number is one of ours.)
      if (message.seq <= this.#received) return;
      if (message.seq > this.#received + 1) return this.#renew();
      this.#received = message.seq;
      this.#owe();
    }
    switch (message.type) {
      case "welcome":
        return this.#welcomed(message);
      case "ack":
        this.#settle(message.seq);
        return this.#listen();
      case "go-away":
        return this.#leave(message);
      case "error":
        this.#lastError = new SignalpostError(message.code, message.message, message);
        if (this.#state === "open") break;
        // It is the hello's: the close code follows, or nothing does.
        if (HELLO_REFUSED.has(message.code)) this.#refuse(this.#lastError);
        return;
    }
    this.#tell("message", message);
  }

  /** The service has everything up to this number. */
  #settle(number) {
    const taken = this.#kept.filter(({ seq }) => seq <= number);
    this.#kept = this.#kept.filter(({ seq }) => seq > number);
    for (const { message } of taken) this.#tell("taken", message);
  }

  #welcomed(message) {
    const reset = this.#session !== null && message.resumed !== true;
    this.#session = message.session;
    this.#openedAt = performance.now();
    const { messageBytes, messagesPerSecond, messageBurst } = message.limits ?? {};
    this.most = messageBytes ?? this.most;
    if (message.limits !== undefined) {
      this.#pace = { rate: messagesPerSecond * SHARE, burst: Math.max(1, Math.floor(messageBurst * SHARE)) };
    }
    if (!reset) this.#settle(message.received);
    const dropped = this.#kept.filter(({ size }) => size > this.most);
    const waiting = this.#kept.filter(({ size }) => size <= this.most).map((kept) => kept.message);
    if (reset) {
      this.#kept = [];
      this.#sent = this.#received = 0;
    } else if (dropped.length > 0) {
      // The service has none of these, so that they can have other numbers.
      this.#kept = [];
      this.#sent = message.received;
      for (const each of waiting) this.#keep(each);
    }
    this.#acknowledged = this.#received;
    this.#flushed = 0;
    this.#allowance = { left: this.#pace.burst, at: this.#openedAt };
    this.#set("open");
    for (const each of dropped) this.#drop(each.message, tooLarge(this.most));
    this.#tell("welcome", { message, reset, unacknowledged: reset ? waiting : [] });
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
        }, 1000 / this.#pace.rate);
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
    const refilled = Math.min(this.#pace.burst, left + ((now - at) / 1000) * this.#pace.rate);
    this.#allowance = { left: refilled < 1 ? refilled : refilled - 1, at: now };
    return refilled >= 1;
  }

  /** Something came; while an answer is due, silence means that the connection is dead. */
  #listen() {
    clearTimeout(this.#silence);
    this.#silence = null;
    if (this.#kept.length > 0) this.#silence = setTimeout(() => this.#renew(), SILENCE_MS);
  }

  #owe() {
    if (this.#received - this.#acknowledged >= ACK_EVERY) this.#acknowledge();
    else this.#ackTimer ??= setTimeout(() => this.#acknowledge(), ACK_MS);
  }

  #acknowledge() {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = null;
    if (this.#state !== "open") return;
    if (!this.#allowed()) {
      this.#ackTimer = setTimeout(() => this.#acknowledge(), 1000 / this.#pace.rate);
      return;
    }
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

function within(milliseconds, promise) {
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`nothing within ${milliseconds} ms`)), milliseconds);
  });
  return Promise.race([promise, late]);
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
