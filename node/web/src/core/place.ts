/** Where the page is and what its link asks for. */
export interface Place {
  room: string | null; // null is the lobby
  token: string | null; // handed over in the link, to be kept and taken out of sight
  speak: boolean; // ask to speak as soon as one listens
  key: string; // of the link for speakers: be invited as soon as one listens; "": came by another link
  raw: boolean; // a microphone without voice filters, for music and measurements
  signIn: "done" | "cancelled" | "refused" | null; // the way back from the operator's accounts
}

/** placeOf reads a link: /r/{room}, ?token=… or #token=…, #speak=…, ?speak, ?raw. */
export function placeOf(href: string): Place {
  const url = new URL(href);
  const room = /^\/r\/([A-Za-z0-9_-]{1,64})\/?$/.exec(url.pathname)?.[1] ?? null;
  const fragment = new URLSearchParams(url.hash.slice(1));
  const token = fragment.get("token") ?? url.searchParams.get("token");
  const said = (name: string) => {
    const value = url.searchParams.get(name);
    return value !== null && value !== "0" && value !== "false";
  };
  const key = fragment.get("speak") ?? "";
  const signIn = ({ "#signed-in": "done", "#sign-in-cancelled": "cancelled", "#sign-in-refused": "refused" } as const)[url.hash] ?? null;
  return { room, token: token || null, key: /^[A-Za-z0-9_-]{20,64}$/.test(key) ? key : "", speak: said("speak"), raw: said("raw"), signIn };
}

/** withoutSignIn is the link as it was before the way to the accounts and back: key is that of the link for speakers, "" none. */
export function withoutSignIn(href: string, key: string): string {
  const url = new URL(href);
  url.hash = key === "" ? "" : `speak=${key}`;
  return url.href;
}

/** signInOf is where signing in begins, to come back to where the page is now. */
export function signInOf(href: string): string {
  const url = new URL(href);
  return `/v1/sign-in?return=${encodeURIComponent(url.pathname + url.search)}`;
}

/** withoutToken is the link as it may stand in the address bar, in the history and in a screenshot. */
export function withoutToken(href: string): string {
  const url = new URL(href);
  url.searchParams.delete("token");
  return withoutPart(url.href, "token");
}

/** withoutKey is the link once the key in it has been used. */
export function withoutKey(href: string): string {
  return withoutPart(href, "speak");
}

function withoutPart(href: string, name: string): string {
  const url = new URL(href);
  const fragment = new URLSearchParams(url.hash.slice(1));
  if (fragment.has(name)) {
    fragment.delete(name);
    url.hash = fragment.toString();
  }
  return url.href;
}

/** linkOf is what people share: the room, and nothing about whoever shares it. */
export function linkOf(origin: string, room: string): string {
  return `${origin}/r/${encodeURIComponent(room)}`;
}

/** speakersLinkOf is the link by which people are invited to the stage. The key is in the fragment, which no node's log sees. */
export function speakersLinkOf(origin: string, room: string, key: string): string {
  return `${linkOf(origin, room)}#speak=${key}`;
}

/** newKey makes the key of a link for speakers of 18 random bytes. */
export function newKey(random: Uint8Array): string {
  return btoa(String.fromCharCode(...random)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
