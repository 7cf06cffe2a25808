/** Where the page is and what its link asks for. */
export interface Place {
  room: string | null; // null is the lobby
  token: string | null; // handed over in the link, to be kept and taken out of sight
  speak: boolean; // by a speaker's link: ask to speak as soon as one listens
  raw: boolean; // a microphone without voice filters, for music and measurements
}

/** placeOf reads a link: /r/{room}, ?token=… or #token=…, ?speak, ?raw. */
export function placeOf(href: string): Place {
  const url = new URL(href);
  const room = /^\/r\/([A-Za-z0-9_-]{1,64})\/?$/.exec(url.pathname)?.[1] ?? null;
  const fragment = new URLSearchParams(url.hash.slice(1));
  const token = fragment.get("token") ?? url.searchParams.get("token");
  const said = (name: string) => {
    const value = url.searchParams.get(name);
    return value !== null && value !== "0" && value !== "false";
  };
  return { room, token: token || null, speak: said("speak"), raw: said("raw") };
}

/** withoutToken is the link as it may stand in the address bar, in the history and in a screenshot. */
export function withoutToken(href: string): string {
  const url = new URL(href);
  url.searchParams.delete("token");
  const fragment = new URLSearchParams(url.hash.slice(1));
  if (fragment.has("token")) {
    fragment.delete("token");
    url.hash = fragment.toString();
  }
  return url.href;
}

/** linkOf is what people share: the room, and nothing about whoever shares it. */
export function linkOf(origin: string, room: string): string {
  return `${origin}/r/${encodeURIComponent(room)}`;
}
