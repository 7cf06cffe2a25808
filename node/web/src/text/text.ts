import { en } from "./en.ts";
import type { Text } from "./en.ts";

/** text is what the client says, in the person's language. */
export const text: Text = en;

/** ago says how long ago a time was, in words: "12 minutes ago". Empty for a time that cannot be read. */
export function ago(time: string | null | undefined, now: number): string {
  const then = Date.parse(time ?? "");
  if (Number.isNaN(then)) return "";
  const seconds = Math.min(0, (then - now) / 1000);
  const format = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto" });
  if (seconds > -60) return format.format(0, "second");
  if (seconds > -3600) return format.format(Math.ceil(seconds / 60), "minute");
  if (seconds > -86_400) return format.format(Math.ceil(seconds / 3600), "hour");
  return format.format(Math.ceil(seconds / 86_400), "day");
}
