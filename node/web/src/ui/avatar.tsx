import type { JSX } from "preact";
import { initials, tint } from "../core/person.ts";

/** Avatar is a person's picture: initials on a colour of their own. Their name always stands beside it, so it says nothing itself. */
export function Avatar({ user, name, size = "medium" }: { user: string; name: string; size?: "small" | "medium" | "large" }): JSX.Element {
  return (
    <span class={`avatar ${size} tint-${tint(user)}`} aria-hidden="true">
      {initials(name)}
    </span>
  );
}
