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
  away?: string | null; // nowhere connected since
}

/** Somebody who asks to speak. */
export interface SpeakRequest {
  name: string;
  at: string;
  order: number;
  note?: string;
}

/** How many ask to speak, and what is known of how long that takes. */
export interface Waiting {
  waiting: number;
  eachSeconds?: number | null; // missing: nothing is known
  since?: string | null; // the first in line waits since
  nextAt?: string | null; // in rotation: when the present turn ends
}

/** Somebody who was removed. */
export interface Removal {
  at: string;
  ban: boolean;
}

/** How people take turns, and whose turn it is. */
export interface Rotation {
  turnSeconds: number;
  warnSeconds: number;
  user: string; // "": nobody's turn
  began: string | null;
  until: string | null;
  warned: boolean;
}

/** A link that the room shows, or that waits for a host. */
export interface Pin {
  url: string;
  note: string;
  user: string;
  name: string;
  approved: boolean;
  place: number;
}

/** What somebody was warned of. */
export interface Warning {
  count: number;
  reason: string;
  public: boolean;
}

/** Who may ask to speak. */
export type Asking = "everyone" | "list" | "invited" | "closed";

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
  regions?: string[]; // the only ones that it is in; not there: it may be anywhere
  createdAt?: string;
  startedAt?: string | null;
  endedAt?: string | null;
  host: string;
  home?: string;
  participants: Record<string, Participant>;
  requests: Record<string, SpeakRequest>;
  removed: Record<string, Removal>;
  policy?: { speakersMax?: number; requests?: Asking; reactions?: "everyone" | "stage" | "nobody"; turnSeconds?: number };
  askers?: string[];
  startsAt?: string | null;
  queue?: Waiting;
  rulesVersion?: number;
  locked?: boolean;
  heldUntil?: string | null;
  rotation?: Rotation;
  refreshed?: { at: string; joined: number };
  speakerLink?: { by: string; at: string } | null;
  invitations: Record<string, { by: string; at: string }>;
  pins: Record<string, Pin>;
  warnings: Record<string, Warning>;
  talk: Record<string, { spokeSeconds: number }>;
  listeners?: number;
}

/** A change as the feed sends it. */
export interface Change {
  seq: number;
  type: string;
  by?: string;
  user?: string;
  reason?: string;
  patch?: Json;
}

/** asView fills what an answer may leave out, so that the rest of the client need not ask. */
export function asView(raw: unknown): View {
  const view = raw as View;
  return {
    ...view,
    participants: view.participants ?? {},
    requests: view.requests ?? {},
    removed: view.removed ?? {},
    invitations: view.invitations ?? {},
    pins: view.pins ?? {},
    warnings: view.warnings ?? {},
    talk: view.talk ?? {},
  };
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

/** named is the view with what people call themselves now, where that is another name than when they came on stage or asked. */
export function named(view: View, names: Readonly<Record<string, string>>): View {
  const called = <T extends { name: string }>(people: Record<string, T>): Record<string, T> =>
    Object.fromEntries(Object.entries(people).map(([user, one]) => [user, { ...one, name: Object.hasOwn(names, user) ? names[user]! : one.name }]));
  if (Object.keys(names).length === 0) return view;
  return { ...view, participants: called(view.participants), requests: called(view.requests) };
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

/** Longest time that counts of somebody who waits already, in seconds: the host is elsewhere. */
const waitedMax = 4 * 3600;

/**
 * expectedWait is how many seconds the one at a place of the queue, from 1, may still wait; undefined where nothing is known.
 * The rule is that of the room's record (control/room, Wait.Expected).
 */
export function expectedWait(view: View, place: number, now: number): number | undefined {
  const { eachSeconds, since, nextAt } = view.queue ?? {};
  if (eachSeconds === undefined || eachSeconds === null || place < 1) return undefined;
  if (nextAt) return Math.max(0, Date.parse(nextAt) - now) / 1000 + (place - 1) * eachSeconds;
  const waited = since ? Math.min((now - Date.parse(since)) / 1000, waitedMax) : 0;
  return place * Math.max(eachSeconds, waited);
}

/** pins lists the links in the order in which everybody sees them, those that wait for a host last. */
export function pins(view: View): Array<Pin & { id: string }> {
  return Object.entries(view.pins)
    .map(([id, pin]) => ({ id, ...pin }))
    .sort((a, b) => Number(b.approved) - Number(a.approved) || a.place - b.place || compare(a.id, b.id));
}

/** mayAsk reports whether the room's policy lets this person ask to speak. */
export function mayAsk(view: View, user: string | undefined): boolean {
  switch (view.policy?.requests) {
    case "closed":
    case "invited":
      return false;
    case "list":
      return user !== undefined && (view.askers ?? []).includes(user);
    default:
      return true;
  }
}

/** mayReact reports whether the room's policy lets somebody of the role react. */
export function mayReact(view: View, role: Role): boolean {
  switch (view.policy?.reactions) {
    case "nobody":
      return false;
    case "stage":
      return onStage(role);
    default:
      return true;
  }
}

/** talkShares is who has had which share of the time that people were heard, the most first. */
export function talkShares(view: View): Array<{ user: string; seconds: number; share: number }> {
  const people = Object.entries(view.talk).map(([user, { spokeSeconds }]) => ({ user, seconds: spokeSeconds }));
  const all = people.reduce((sum, { seconds }) => sum + seconds, 0);
  return people
    .filter(({ seconds }) => seconds > 0)
    .sort((a, b) => b.seconds - a.seconds || compare(a.user, b.user))
    .map((person) => ({ ...person, share: person.seconds / all }));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
