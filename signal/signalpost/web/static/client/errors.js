/** An error, with one of the service's stable codes (docs/protocol.md) or of the client's own: `closed`,
 * `lost`, `token-failed`. */
export class SignalpostError extends Error {
  constructor(code, message, { retryAfter } = {}) {
    super(message);
    this.name = "SignalpostError";
    this.code = code;
    /** Try again after so many seconds, if the service said so. */
    this.retryAfter = retryAfter;
  }
}
