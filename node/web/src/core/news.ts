import type { Change, Role, View } from "./view.ts";
import { moderates, onStage, roleOf } from "./view.ts";

/** Something that happened in the room and that a person is told, on the screen or by a screen reader. */
export type News =
  | { is: "raised"; name: string } // somebody asks to speak; told to those who can approve
  | { is: "on-stage"; name: string }
  | { is: "off-stage"; name: string }
  | { is: "you-on-stage" }
  | { is: "you-off-stage" }
  | { is: "you-denied"; reason: string } // "": none was given
  | { is: "you-muted"; reason: string } // by somebody else
  | { is: "you-invited" }
  | { is: "you-role"; role: Role } // another one on stage
  | { is: "you-warned"; reason: string }
  | { is: "warned"; name: string; reason: string } // before everybody
  | { is: "your-turn"; seconds: number }
  | { is: "your-turn-ends" }
  | { is: "pin-proposed"; name: string } // told to those who can approve
  | { is: "started" }
  | { is: "locked" }
  | { is: "unlocked" }
  | { is: "refreshed"; title: string }
  | { is: "retitled"; title: string }
  | { is: "ended" };

/**
 * newsOf compares two views around one change. It tells what matters to `me` and to everybody, and leaves out what people
 * see for themselves, such as a mute in a room of twenty.
 */
export function newsOf(before: View, after: View, change: Change | null, me: string | undefined): News[] {
  if (before.id !== after.id) return [];
  if (after.state === "ended") return before.state === "ended" ? [] : [{ is: "ended" }];
  const news: News[] = ofRoom(before, after);
  const was = roleOf(before, me);
  const now = roleOf(after, me);
  if (me !== undefined) {
    if (!onStage(was) && onStage(now)) news.push({ is: "you-on-stage" });
    if (onStage(was) && !onStage(now)) news.push({ is: "you-off-stage" });
    if (before.requests[me] && !after.requests[me] && !onStage(now) && change?.by !== me) news.push({ is: "you-denied", reason: reasonOf(change, "denied", me) });
    const [mine, mineBefore] = [after.participants[me], before.participants[me]];
    if (mine?.muted && mineBefore && !mineBefore.muted && change?.by !== me) news.push({ is: "you-muted", reason: reasonOf(change, "muted", me) });
    if (onStage(was) && onStage(now) && was !== now) news.push({ is: "you-role", role: now });
    if (!before.invitations[me] && after.invitations[me]) news.push({ is: "you-invited" });
    news.push(...ofTurn(before, after, me));
  }
  news.push(...ofWarnings(before, after, me));
  for (const [user, person] of Object.entries(after.participants)) {
    if (user !== me && !before.participants[user]) news.push({ is: "on-stage", name: person.name });
  }
  for (const [user, person] of Object.entries(before.participants)) {
    if (user !== me && !after.participants[user]) news.push({ is: "off-stage", name: person.name });
  }
  if (moderates(now)) {
    for (const [user, request] of Object.entries(after.requests)) {
      if (user !== me && !before.requests[user]) news.push({ is: "raised", name: request.name });
    }
    for (const [id, pin] of Object.entries(after.pins)) {
      if (!pin.approved && pin.user !== me && !before.pins[id]) news.push({ is: "pin-proposed", name: pin.name });
    }
  }
  return news;
}

/** reasonOf is why that was done to somebody, where the change says so: nobody else, hosts aside, is told. */
export function reasonOf(change: Change | null, type: string, user: string): string {
  return (change?.type === type && change.user === user && change.reason) || "";
}

/** ofRoom is what changed for everybody at once. */
function ofRoom(before: View, after: View): News[] {
  const news: News[] = [];
  if (before.state === "scheduled" && after.state === "live") news.push({ is: "started" });
  if (before.title !== after.title) news.push({ is: "retitled", title: after.title });
  if (!before.locked !== !after.locked) news.push({ is: after.locked ? "locked" : "unlocked" });
  if (after.refreshed && after.refreshed.at !== before.refreshed?.at) news.push({ is: "refreshed", title: after.title });
  return news;
}

function ofTurn(before: View, after: View, me: string): News[] {
  const [was, is] = [before.rotation, after.rotation];
  if (is?.user !== me) return [];
  if (was?.user !== me || was.began !== is.began) return [{ is: "your-turn", seconds: is.turnSeconds }];
  return is.warned && !was.warned ? [{ is: "your-turn-ends" }] : [];
}

/** ofWarnings tells the one who is warned, and everybody where the host wanted that. Others who may know read it on the person. */
function ofWarnings(before: View, after: View, me: string | undefined): News[] {
  const news: News[] = [];
  for (const [user, warning] of Object.entries(after.warnings)) {
    if (warning.count <= (before.warnings[user]?.count ?? 0)) continue;
    if (user === me) news.push({ is: "you-warned", reason: warning.reason });
    else if (warning.public) news.push({ is: "warned", name: after.participants[user]?.name ?? user, reason: warning.reason });
  }
  return news;
}
