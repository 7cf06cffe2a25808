import type { Json } from "./merge-patch.ts";
import { mergePatch } from "./merge-patch.ts";

export type Role = "listener" | "speaker" | "cohost" | "host";

/** Somebody on stage. */
export interface Participant {
  name: string;
  role: Role;
  muted: boolean;
  ssrc: number; // the CSRC under which this person is heard
  live: boolean; // a microphone is connected
  node?: string;
  since?: string;
}

/** Somebody who asks to speak. */
export interface SpeakRequest {
  name: string;
  at: string;
  order: number;
  note?: string;
}

/** Somebody who was removed. */
export interface Removal {
  at: string;
  ban: boolean;
}

/** View is what everybody sees of a room: GET /v1/rooms/{room}, and the feed's snapshot. */
export interface View {
  id: string;
  seq: number;
  state: "scheduled" | "live" | "ended";
  title: string;
  description?: string;
  rules?: string;
  mode?: string;
  tags?: string[];
  language?: string;
  createdAt?: string;
  startedAt?: string | null;
  endedAt?: string | null;
  host: string;
  home?: string;
  participants: Record<string, Participant>;
  requests: Record<string, SpeakRequest>;
  removed: Record<string, Removal>;
  policy?: { speakersMax?: number; requests?: "everyone" | "closed" };
}

/** A change as the feed sends it. */
export interface Change {
  seq: number;
  type: string;
  by?: string;
  user?: string;
  patch?: Json;
}

/** asView fills what an answer may leave out, so that the rest of the client need not ask. */
export function asView(raw: unknown): View {
  const view = raw as View;
  return { ...view, participants: view.participants ?? {}, requests: view.requests ?? {}, removed: view.removed ?? {} };
}

/**
 * follow applies a change. It answers the view as it was when the change is already in it, and null when one in between is
 * missing: the caller then asks for a snapshot.
 */
export function follow(view: View, change: Change): View | null {
  if (change.seq <= view.seq) return view;
  if (change.seq !== view.seq + 1) return null;
  const next = asView(mergePatch(view as unknown as Json, change.patch ?? {}));
  return { ...next, seq: change.seq };
}

const rank: Record<Role, number> = { listener: 1, speaker: 2, cohost: 3, host: 4 };

/** roleOf is what a person is in the room; everybody who is not on stage listens. */
export function roleOf(view: View, user: string | undefined): Role {
  return (user !== undefined && view.participants[user]?.role) || "listener";
}

/** onStage reports whether people of the role may be heard. */
export function onStage(role: Role): boolean {
  return rank[role] >= rank.speaker;
}

/** moderates reports whether the role may run the room. */
export function moderates(role: Role): boolean {
  return rank[role] >= rank.cohost;
}

/** outranks reports whether one role may act on the other. */
export function outranks(role: Role, other: Role): boolean {
  return rank[role] > rank[other];
}

/** stage lists the people on stage, the most powerful first, then the longest there. */
export function stage(view: View): Array<Participant & { user: string }> {
  return Object.entries(view.participants)
    .map(([user, person]) => ({ user, ...person }))
    .sort((a, b) => rank[b.role] - rank[a.role] || compare(a.since ?? "", b.since ?? "") || compare(a.user, b.user));
}

/** queue lists who asks to speak, in the order in which everybody sees them. */
export function queue(view: View): Array<SpeakRequest & { user: string }> {
  return Object.entries(view.requests)
    .map(([user, request]) => ({ user, ...request }))
    .sort((a, b) => a.order - b.order || compare(a.user, b.user));
}

/** place is a person's position in the queue, from 1; 0 when not in it. */
export function place(view: View, user: string | undefined): number {
  return queue(view).findIndex((request) => request.user === user) + 1;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
