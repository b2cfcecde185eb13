/** What goes wrong, with the service's stable codes (docs/protocol.md) or one of the client's own:
 * `closed`, `lost`, `token-failed`. */
export class SignalpostError extends Error {
  constructor(code, message, { retryAfter } = {}) {
    super(message);
    this.name = "SignalpostError";
    this.code = code;
    /** Seconds, where the service said when to come back. */
    this.retryAfter = retryAfter;
  }
}
