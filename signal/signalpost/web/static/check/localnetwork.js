/** Local Network Access: Chrome lets a page reach private addresses only with the user's permission,
 * including WebRTC's servers. Other browsers don't ask. */

/** The names of the permission, the oldest last (https://wicg.github.io/local-network-access/). */
const NAMES = { loopback: ["loopback-network", "local-network-access"], local: ["local-network", "local-network-access"] };

/** "loopback", "local" or "public": the address space of a URL's host, judged by its text. */
export function addressSpace(host) {
  const bare = host.replace(/^\[|\]$/g, "").replace(/\.$/, "").toLowerCase();
  if (/^127\./.test(bare) || bare === "::1" || /(^|\.)localhost$/.test(bare)) return "loopback";
  if (/^(10\.|192\.168\.|169\.254\.|172\.(1[6-9]|2\d|3[01])\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.)/.test(bare)) return "local";
  if (bare.includes(":")) return /^(f[cd]|fe[89ab])/.test(bare) ? "local" : "public";
  return /\.(local|lan|internal|home\.arpa)$/.test(bare) ? "local" : "public";
}

/** Whether a page from that host needs permission to reach this server's host. */
export function isGated(host, pageHost) {
  const openness = ["loopback", "local", "public"];
  return openness.indexOf(addressSpace(host)) < openness.indexOf(addressSpace(pageHost));
}

/** "granted", "denied" or "prompt", null if the browser has no such permission. */
export async function permission(host, permissions = navigator.permissions) {
  for (const name of NAMES[addressSpace(host)] ?? []) {
    try {
      return (await permissions.query({ name })).state;
    } catch {
      // This browser doesn't know the name.
    }
  }
  return null;
}
