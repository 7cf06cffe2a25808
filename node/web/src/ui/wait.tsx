import type { JSX } from "preact";
import type { View } from "../core/view.ts";
import { expectedWait } from "../core/view.ts";
import { text } from "../text/text.ts";
import { useNow } from "./hooks.ts";
import { Hand } from "./icons.tsx";

/** Wait is how long somebody at a place of the queue may have to wait, in whole minutes; nothing where nothing is known. */
export function Wait({ view, place }: { view: View; place: number }): JSX.Element | null {
  const now = useNow(10_000);
  const seconds = expectedWait(view, place, now);
  return seconds === undefined ? null : <> {text.room.wait({ n: Math.max(1, Math.ceil(seconds / 60)) })}</>;
}

/** Waiting is the busy signal: how many wait for the stage, and how long the last of them may have to. */
export function Waiting({ view }: { view: View }): JSX.Element | null {
  const n = view.queue?.waiting ?? 0;
  if (view.state !== "live" || n === 0) return null;
  return (
    <span class="waiting soft">
      <Hand />
      <span>
        {text.room.waiting({ n })}
        <Wait view={view} place={n} />
      </span>
    </span>
  );
}
