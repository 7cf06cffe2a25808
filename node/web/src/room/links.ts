/** A link for speakers that was made here, and when: another one made since is not this one. */
export interface MadeLink {
  key: string;
  at: string;
}

const nameOf = (room: string): string => `rotunda.link.${room}`;

/** keepLink remembers a link that was made in this browser; the room itself does not know its key. */
export function keepLink(room: string, link: MadeLink): void {
  try {
    sessionStorage.setItem(nameOf(room), JSON.stringify(link));
  } catch {
    // a browser that keeps nothing shows it until the sheet is closed
  }
}

/** loadLink is the key of the room's link if it was made here: at says which link the room has. */
export function loadLink(room: string, at: string): string {
  try {
    const link = JSON.parse(sessionStorage.getItem(nameOf(room)) ?? "null") as MadeLink | null;
    return link?.at === at && typeof link.key === "string" ? link.key : "";
  } catch {
    return "";
  }
}

const keyOf = (room: string): string => `rotunda.key.${room}`;

/** keepKey remembers the key by which somebody comes to speak, for the way to the accounts and back; "" forgets it. */
export function keepKey(room: string, key: string): void {
  try {
    if (key === "") sessionStorage.removeItem(keyOf(room));
    else sessionStorage.setItem(keyOf(room), key);
  } catch {
    // a browser that keeps nothing: the link has to be opened again
  }
}

/** loadKey is the key that was kept for the room, "" where there is none. */
export function loadKey(room: string): string {
  try {
    return sessionStorage.getItem(keyOf(room)) ?? "";
  } catch {
    return "";
  }
}
