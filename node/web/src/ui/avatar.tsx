import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { initials, tint } from "../core/person.ts";
import { useApp, useStore } from "./hooks.ts";

/** What a picture's path looks like. Nothing else is ever fetched for a person. */
const picturePath = /^\/v1\/avatars\/[0-9a-f]{64}$/;

/**
 * Avatar is a person's picture, or initials on a colour of their own. Their name always stands beside it, so it says nothing itself.
 * `picture` is its path where the caller knows; else the person's profile is asked for.
 */
export function Avatar({ user, name, size = "medium", picture }: { user: string; name: string; size?: "small" | "medium" | "large"; picture?: string | undefined }): JSX.Element {
  const app = useApp();
  const { known } = useStore(app.profiles.store);
  const [broken, setBroken] = useState("");
  useEffect(() => {
    if (picture === undefined) app.profiles.want([user]);
  }, [user, picture]);
  const path = picture ?? known.get(user)?.avatar ?? "";
  const shown = picturePath.test(path) && path !== broken;
  return (
    <span class={`avatar ${size} tint-${tint(user)}`} aria-hidden="true">
      {shown ? <img src={path} alt="" loading="lazy" decoding="async" onError={() => setBroken(path)} /> : initials(name)}
    </span>
  );
}
