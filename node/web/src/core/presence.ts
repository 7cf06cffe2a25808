/** What people may react with, in the order in which it is offered. The node takes no other. */
export const emojis = ["👏", "❤️", "😂", "😮", "👍", "👎", "🎉", "💯"] as const;

export type Emoji = (typeof emojis)[number];

/** Somebody of the sample of those who listen. */
export interface Listener {
  user: string;
  name: string;
  avatar?: string;
}

/** Presence is who is in a room and what they show, summed up over the mesh. */
export interface Presence {
  listeners: number;
  joined: number; // since the room was refreshed
  reactions: Partial<Record<Emoji, number>>; // of the last two seconds
  roster: readonly Listener[]; // a sample
  names: Readonly<Record<string, string>>; // of those who call themselves otherwise than when they came on stage, by user
}

export const nobody: Presence = { listeners: 0, joined: 0, reactions: {}, roster: [], names: {} };

/** presenceOf reads what a node sends. Whatever it is, it comes out well-formed. */
export function presenceOf(raw: unknown): Presence {
  const value = (raw ?? {}) as Partial<Record<keyof Presence, unknown>>;
  const count = (n: unknown) => (typeof n === "number" && n > 0 ? Math.floor(n) : 0);
  const reactions: Partial<Record<Emoji, number>> = {};
  for (const emoji of emojis) {
    const n = count((value.reactions as Record<string, unknown> | null | undefined)?.[emoji]);
    if (n > 0) reactions[emoji] = n;
  }
  const roster = Array.isArray(value.roster) ? (value.roster as Listener[]).filter((one) => typeof one?.user === "string" && typeof one.name === "string") : [];
  const names = Object.fromEntries(Object.entries(value.names ?? {}).filter((each): each is [string, string] => typeof each[1] === "string" && each[1] !== ""));
  return { listeners: count(value.listeners), joined: count(value.joined), reactions, roster, names };
}

/** Most signs that float at once for one change: what a crowd does is seen, and does not cover the room. */
const burstMax = 6;

/**
 * burst is how many signs of each emoji begin to float when the sums of the last two seconds go from one to the other. A sum that
 * falls is time that goes by; a crowd's thousand is shown as a few.
 */
export function burst(before: Presence["reactions"], after: Presence["reactions"]): Emoji[] {
  const floating: Emoji[] = [];
  for (const emoji of emojis) {
    const more = (after[emoji] ?? 0) - (before[emoji] ?? 0);
    if (more <= 0) continue;
    const signs = Math.min(burstMax, Math.ceil(Math.log2(more + 1)));
    for (let i = 0; i < signs; i++) floating.push(emoji);
  }
  return floating.slice(0, 2 * burstMax);
}
