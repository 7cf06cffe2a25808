/** A TURN server as the browser takes it: an RTCIceServer. */
export interface Relay {
  urls: string;
  username: string;
  credential: string;
}

const link = /<([^<>]*)>((?:\s*;\s*[a-z-]+\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s",;]+))*)/gi;
const parameter = /;\s*([a-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",;]+))/gi;

/** relaysOf reads the TURN servers out of Link headers (RFC 9725 §4.6, RFC 8288); what is none, or has no password, is passed over. */
export function relaysOf(header: string): Relay[] {
  const relays: Relay[] = [];
  for (const [, url = "", rest = ""] of header.matchAll(link)) {
    const said = new Map<string, string>();
    for (const [, name = "", quoted, plain = ""] of rest.matchAll(parameter)) said.set(name.toLowerCase(), quoted?.replace(/\\(.)/g, "$1") ?? plain);
    const username = said.get("username");
    const credential = said.get("credential");
    if (said.get("rel") !== "ice-server" || !/^turns?:/i.test(url) || username === undefined || credential === undefined) continue;
    relays.push({ urls: url, username, credential });
  }
  return relays;
}
