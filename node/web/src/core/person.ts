/** How many colour pairs avatars have (style/person.css). */
export const tints = 8;

/** tint picks a person's colour: the same on every device and for the whole of their life. FNV-1a. */
export function tint(user: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < user.length; i++) hash = Math.imul(hash ^ user.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % tints;
}

/** initials are one or two graphemes of a name, whatever its script; "?" for a name without any. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/u).filter(Boolean);
  const first = words[0] ?? "";
  const last = words.length > 1 ? (words.at(-1) ?? "") : "";
  return (grapheme(first) + grapheme(last)).toLocaleUpperCase() || "?";
}

function grapheme(word: string): string {
  for (const { segment } of new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(word)) {
    return segment.length <= 16 ? segment : segment.slice(0, 2); // a tower of marks is not an initial
  }
  return "";
}
