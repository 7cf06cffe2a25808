import type { Region } from "../core/api.ts";
import type { Line } from "../core/line.ts";
import { Problem } from "../core/problem.ts";

/** Regions are those that a room may be kept in, and where the node stands that the page speaks to. */
export interface Regions {
  own: string;
  regions: Region[];
}

/** nodeFor is the node that a room of these regions has to be made at; "" where the present one will do. */
export function nodeFor(regions: Regions, chosen: readonly string[]): string {
  if (chosen.includes(regions.own)) return "";
  return regions.regions.find(({ region }) => chosen.includes(region))?.url ?? "";
}

/** Kept is where a room is kept that the page has asked for outside of it. */
export interface Kept {
  regions: readonly string[];
  away: boolean; // no node there can be reached from here, as far as is known
}

/** keptOf is what is known of a room's regions after the feed's line has changed; before is what was known until then. */
export function keptOf(before: Kept | null, line: Line, error: unknown): Kept | null {
  if (line.at === "up") return null;
  if (error instanceof Problem && error.regions.length > 0) return { regions: error.regions, away: before?.away === true || error.bases.length === 0 };
  return before && line.at === "waiting" ? { ...before, away: true } : before; // where it was sent nobody answers
}
