/** Gets the servers to test, and checks their URLs. Pure, except for `fetched`. */

/** Ports that browsers block: below 1024 all but these, above it Fetch's "bad ports". */
const LOW_PORTS = new Set([53, 80, 443]);
const BAD_PORTS = new Set([
  1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669,
  6679, 6697, 10080,
]);
const SHORT_TTL = 300;

/** A cause: its code, its URL, and the values for its sentence. */
export function finding(code, severity, url = null, values = {}) {
  return { code, severity, url, values };
}

/** Parse by RFC 7064 and 7065. Null if browsers reject the URL. */
export function parseUrl(url) {
  const match =
    /^(stuns?|turns?):(\[[0-9a-f:.]+\]|[a-z0-9._~%-]+)(?::(\d{1,5}))?(?:\?transport=(udp|tcp))?$/i.exec(url);
  if (match === null) return null;
  const scheme = match[1].toLowerCase();
  const secure = scheme.endsWith("s");
  if (scheme.startsWith("stun") && match[4] !== undefined) return null;
  const port = match[3] === undefined ? (secure ? 5349 : 3478) : Number(match[3]);
  if (port === 0 || port > 65535) return null;
  const transport = match[4]?.toLowerCase() ?? (secure ? "tcp" : "udp");
  return { url, scheme, host: match[2], port, transport, relay: scheme.startsWith("turn"), secure };
}

/** Ask the service: {servers, findings}. */
export async function fetched(path = "/v1/ice-servers") {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", headers: { Accept: "application/json" } });
  } catch {
    return { servers: [], findings: [finding("issuer-unreachable", "fail")] };
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) {
    const reason = body?.detail ?? response.statusText;
    const values = { status: response.status, reason };
    return { servers: [], findings: [finding("issuer-refused", "fail", null, values)] };
  }
  if (!Array.isArray(body?.iceServers) || body.iceServers.length === 0) {
    return { servers: [], findings: [finding("issuer-bad-response", "fail")] };
  }
  const short = typeof body.ttl === "number" && body.ttl < SHORT_TTL;
  const findings = short ? [finding("issuer-ttl-short", "warn", null, { ttl: body.ttl })] : [];
  return { servers: body.iceServers, findings };
}

/** Read the input: the JSON of iceServers (bare or in an object), or one URL per line. */
export function typed(text, username, credential) {
  const trimmed = text.trim();
  if (/^[[{]/.test(trimmed)) {
    let value;
    try {
      value = JSON.parse(trimmed);
    } catch {
      return { servers: [], findings: [finding("json-malformed", "fail")] };
    }
    const list = Array.isArray(value) ? value : value.iceServers ?? [value];
    const entries = Array.isArray(list) ? list : [list];
    const servers = entries.filter((entry) => urlsOf(entry).length > 0);
    const findings = servers.length ? [] : [finding("issuer-bad-response", "fail")];
    return { servers, findings };
  }
  const urls = trimmed.split(/[\s,]+/).filter(Boolean);
  if (urls.length === 0) return { servers: [], findings: [finding("nothing-to-check", "fail")] };
  const withCredential = username ? { username, credential } : {};
  return { servers: urls.map((url) => ({ urls: [url], ...withCredential })), findings: [] };
}

function urlsOf(entry) {
  const urls = entry?.urls ?? entry?.url ?? [];
  return (Array.isArray(urls) ? urls : [urls]).filter((url) => typeof url === "string");
}

/** One entry per URL, each with the server that a browser needs for it alone. */
export function separate(servers) {
  return servers.flatMap((entry) =>
    urlsOf(entry).map((url) => {
      const { username, credential } = entry;
      const server = username === undefined ? { urls: [url] } : { urls: [url], username, credential };
      return { url, server, parsed: parseUrl(url) };
    }),
  );
}

/** Mistakes that show before a packet is sent. */
export function inspect(entries) {
  const findings = [];
  for (const { url, server, parsed } of entries) {
    if (parsed === null) {
      findings.push(finding("url-malformed", "fail", url));
      continue;
    }
    if (parsed.relay && !(server.username && server.credential)) {
      findings.push(finding("credential-missing", "fail", url));
    }
    if (parsed.scheme === "turns" && parsed.transport === "udp") {
      findings.push(finding("turns-over-udp", "warn", url));
    }
    const { port } = parsed;
    if ((port < 1024 && !LOW_PORTS.has(port)) || BAD_PORTS.has(port)) {
      findings.push(finding("url-blocked-port", "fail", url, { port }));
    }
    const swapped = parsed.secure ? port === 3478 : port === 5349;
    if (swapped) findings.push(finding("url-port-unusual", "warn", url, { port }));
  }
  const relays = entries.map((entry) => entry.parsed).filter((parsed) => parsed?.relay);
  if (relays.length > 0 && relays.every((parsed) => parsed.transport === "udp")) {
    findings.push(finding("no-tcp-fallback", "warn"));
  }
  if (relays.length === 0) findings.push(finding("no-relay", "warn"));
  return findings;
}
