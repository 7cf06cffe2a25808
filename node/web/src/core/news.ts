import type { Change, View } from "./view.ts";
import { moderates, onStage, roleOf } from "./view.ts";

/** Something that happened in the room and that a person is told, on the screen or by a screen reader. */
export type News =
  | { is: "raised"; name: string } // somebody asks to speak; told to those who can approve
  | { is: "on-stage"; name: string }
  | { is: "off-stage"; name: string }
  | { is: "you-on-stage" }
  | { is: "you-off-stage" }
  | { is: "you-denied" }
  | { is: "you-muted" } // by somebody else
  | { is: "retitled"; title: string }
  | { is: "ended" };

/**
 * newsOf compares two views around one change. It tells what matters to `me` and to everybody, and leaves out what people
 * see for themselves, such as a mute in a room of twenty.
 */
export function newsOf(before: View, after: View, change: Change | null, me: string | undefined): News[] {
  if (before.id !== after.id) return [];
  if (after.state === "ended") return before.state === "ended" ? [] : [{ is: "ended" }];
  const news: News[] = [];
  const was = roleOf(before, me);
  const now = roleOf(after, me);
  if (before.title !== after.title) news.push({ is: "retitled", title: after.title });
  if (me !== undefined) {
    if (!onStage(was) && onStage(now)) news.push({ is: "you-on-stage" });
    if (onStage(was) && !onStage(now)) news.push({ is: "you-off-stage" });
    if (before.requests[me] && !after.requests[me] && !onStage(now) && change?.by !== me) news.push({ is: "you-denied" });
    const [mine, mineBefore] = [after.participants[me], before.participants[me]];
    if (mine?.muted && mineBefore && !mineBefore.muted && change?.by !== me) news.push({ is: "you-muted" });
  }
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
  }
  return news;
}
