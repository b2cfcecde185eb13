/** The connection: one session over as many sockets as it takes.
 *
 * It handles numbers, acknowledgements, replay and new tries (docs/protocol.md, "Nothing lost"). Never
 * deliver a message twice or out of order.
 */

import { SignalpostError } from "./errors.js";
import { LIMITS, bytes, checked, tooLarge } from "./limits.js";

const ACK_EVERY = 16;
const ACK_MS = 1_000;
/** The service acknowledges within 2 s. If it's silent for longer, it's gone. */
const SILENCE_MS = 8_000;
const OPEN_MS = 8_000;
const FIRST_DELAY_MS = 200;
const DELAY_MS = 2_000;
const LONG_DELAY_MS = 15_000;
/** A session can be resumed for about this long, so the client hurries. */
const HURRY_MS = 40_000;
/** A connection that lasted this long was a good one: the next may be tried at once. */
const STEADY_MS = 5_000;
/** The time to fetch a token: the service waits five seconds for the hello. */
const TOKEN_MS = 4_500;
/** Below the service's limits. Exceeding those closes the connection. */
const BURST = 80;
const RATE = 40;
/** The part of the service's announced limits that the client uses. */
const SHARE = 0.8;
/** A close code of our own: 1000 and 1001 would end the session for good. */
const RESUMING = 4000;
/** A message was larger than the service accepts. */
const TOO_BIG = 1009;
/** The error before the close has the reason. */
const WITH_REASON = new Set([1008, 1013]);
const FATAL = new Set(["unauthorized", "guest-refused", "origin-refused", "banned", "token-failed"]);
/** Answers to a hello that another hello wouldn't change. */
const HELLO_REFUSED = new Set(["malformed", "bad-parameter"]);
/** More than was ever received. It makes the service start anew, with the same peer. */
const UNHEARD_OF = Number.MAX_SAFE_INTEGER;

/** Events: `welcome` {message, reset, unacknowledged}, `message`, `taken` (the service has it),
 * `dropped` {message, error} (not sent again), `state`, `refused` (fatal). */
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
  /** Messages that the service hasn't acknowledged: {seq, message, text}. */
  #kept = [];
  /** Everything up to this number was written to the open socket. */
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

  /** The service accepts messages of this many bytes. */
  most = LIMITS.frame;

  /** `connecting`, `open`, `waiting` (for the next try) or `closed`. */
  get state() {
    return this.#state;
  }

  open() {
    if (this.#state !== "closed" || this.#listening.signal.aborted) return;
    const { signal } = this.#listening;
    // A socket doesn't notice that the network has changed.
    addEventListener("online", () => this.#renewNow(), { signal });
    navigator.connection?.addEventListener?.("change", () => this.#renewNow(), { signal });
    this.#lostAt = performance.now();
    this.#connect();
  }

  /** Say goodbye, so that the service forgets this session. */
  close() {
    this.#listening.abort();
    this.#detach(1000);
    clearTimeout(this.#retry);
    this.#set("closed");
  }

  /** The network has changed: open a new socket now and resume on it. */
  #renewNow() {
    if (this.#state === "closed" || performance.now() < this.#notBefore) return;
    this.#detach(RESUMING);
    clearTimeout(this.#retry);
    this.#connect();
  }

  /** This socket is useless. */
  #renew() {
    if (this.#socket !== null) this.#lose(this.#socket, true);
  }

  /** Number a message, keep it, and send it as soon as possible. It has been `checked`, but a
   * restarted service may accept less. */
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
      // Later the network may be the cause. It gets as long as a session lasts.
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

  /** Another try would be pointless. */
  #refuse(error) {
    this.close();
    this.#tell("refused", error);
  }

  async #lose(socket, opened, code) {
    if (socket !== this.#socket) return;
    const wasOpen = this.#state === "open";
    const flushed = wasOpen ? this.#flushed : 0;
    this.#detach(RESUMING);
    // Otherwise the last error may have been about anything.
    let error = WITH_REASON.has(code) ? this.#lastError : null;
    if (!opened && this.#session === null) {
      error ??= await refusal(this.#url);
      if (this.#state === "closed" || this.#socket !== null) return;
    }
    if (code === TOO_BIG && !wasOpen) error = Object.assign(tooLarge(this.most), { final: true });
    if (error !== null && (error.final || FATAL.has(error.code))) return this.#refuse(error);
    if (code === TOO_BIG) this.#closedForSize(flushed);
    // The two sides count differently: start anew, as after a restart of the service.
    if (error?.code === "out-of-order") this.#received = UNHEARD_OF;
    const now = performance.now();
    if (wasOpen && now - this.#openedAt >= STEADY_MS) {
      this.#attempt = 0;
      this.#lostAt = now;
    }
    const most = now - this.#lostAt < HURRY_MS ? DELAY_MS : LONG_DELAY_MS;
    const backoff = Math.min(most, FIRST_DELAY_MS * 2 ** this.#attempt++);
    const told = Math.max(this.#notBefore - now, (error?.retryAfter ?? 0) * 1000);
    // Jitter: otherwise all clients return at once.
    this.#set("waiting");
    this.#retry = setTimeout(() => this.#connect(), told + backoff * (0.5 + Math.random() / 2));
  }

  /** A message was too large, and the service doesn't say which. The largest one that was written is
   * too large: it and others of its size aren't sent again. */
  #closedForSize(flushed) {
    const written = this.#kept.filter(({ seq }) => seq <= flushed).map(({ size }) => size);
    if (written.length > 0) this.most = Math.min(this.most, Math.max(...written) - 1);
  }

  #take(message) {
    this.#listen();
    if (message.seq !== undefined && message.type !== "ack") {
      // (An ack has one of our numbers.)
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
        // It's about the hello. A close may follow.
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
      // The service has none of these, so they can get other numbers.
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

  /** Watch for silence: while an answer is due it means that the connection is dead. */
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

  /** The service stops. Finish what is under way, then return when the service said. */
  #leave({ retryAfterMs, closesInMs }) {
    this.#notBefore = performance.now() + retryAfterMs;
    const socket = this.#socket;
    setTimeout(() => this.#lose(socket, true), Math.min(ACK_MS, closesInMs));
  }
}

function within(milliseconds, promise) {
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`no answer within ${milliseconds} ms`)), milliseconds);
  });
  return Promise.race([promise, late]);
}

/** Why a WebSocket was refused. Browsers don't say, so ask over HTTP, with a POST: it has the Origin
 * that the service checks. */
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
