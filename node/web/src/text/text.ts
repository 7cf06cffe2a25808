import type { Catalogue, Language, Text } from "./catalogue.ts";
import { directionOf, inUse, pick } from "./catalogue.ts";
import en from "./messages/en.ts";

/** text is what the client says, in the person's language. It changes with speak; whoever shows it draws again then. */
export let text: Text = inUse(en, "en");
/** language is the one that text is in. */
export let language: Language = "en";

/** Every language but English comes when it is wanted. */
const others: Record<Exclude<Language, "en">, () => Promise<{ default: Catalogue }>> = {
  es: () => import("./messages/es.json"),
  pt: () => import("./messages/pt.json"),
  fr: () => import("./messages/fr.json"),
  ar: () => import("./messages/ar.json"),
  hi: () => import("./messages/hi.json"),
  id: () => import("./messages/id.json"),
};

const key = "rotunda.language";

/** wanted is the language that the person chose here, or the first of the browser's that there is. */
export function wanted(): Language {
  return pick([kept(), ...navigator.languages]);
}

/** speak goes over to a language. It rejects where its messages cannot be loaded; everything then stays as it was. */
export async function speak(next: Language): Promise<void> {
  const catalogue = next === "en" ? en : (await others[next]()).default;
  text = inUse(catalogue, next);
  language = next;
  document.documentElement.lang = next;
  document.documentElement.dir = directionOf(next);
}

/** remember keeps a choice on this device. */
export function remember(next: Language): void {
  try {
    localStorage.setItem(key, next);
  } catch {
    // it lasts as long as the page
  }
}

/** chosenElsewhere calls then when the person chooses another language in another tab: one choice holds for all of them. */
export function chosenElsewhere(then: (next: Language) => void): void {
  window.addEventListener("storage", (event) => {
    if (event.key === key && event.newValue !== null && pick([event.newValue]) !== language) then(pick([event.newValue]));
  });
}

function kept(): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** ago says how long ago a time was, in words: "12 minutes ago". Empty for a time that cannot be read. */
export function ago(time: string | null | undefined, now: number): string {
  const then = Date.parse(time ?? "");
  return Number.isNaN(then) ? "" : relative(Math.min(0, (then - now) / 1000));
}

/** relative says a number of seconds from now in words, those before now negative. */
function relative(seconds: number): string {
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const size = Math.abs(seconds);
  if (size < 60) return format.format(0, "second");
  if (size < 3600) return format.format(Math.trunc(seconds / 60), "minute");
  if (size < 86_400) return format.format(Math.trunc(seconds / 3600), "hour");
  return format.format(Math.trunc(seconds / 86_400), "day");
}

/** when is a time to come, in the zone of whoever reads it: "Thu, 26 Nov, 20:00 (in 3 hours)". */
export function when(time: string | null | undefined, now: number): string {
  const then = Date.parse(time ?? "");
  if (Number.isNaN(then)) return "";
  const date = new Intl.DateTimeFormat(language, { weekday: "short", day: "numeric", month: "short", hour: "numeric", minute: "2-digit", timeZoneName: "short" });
  const seconds = (then - now) / 1000;
  return seconds > 60 ? `${date.format(then)} (${relative(seconds)})` : date.format(then);
}

/** clock is a time of day. */
export function clock(time: string): string {
  const then = Date.parse(time);
  return Number.isNaN(then) ? "" : new Intl.DateTimeFormat(language, { timeStyle: "medium" }).format(then);
}

/** span is a length of time as a clock shows it: "1:05". */
export function span(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = new Intl.NumberFormat(language, { minimumIntegerDigits: 2, useGrouping: false });
  const one = new Intl.NumberFormat(language, { useGrouping: false });
  return whole < 3600
    ? `${one.format(Math.floor(whole / 60))}:${two.format(whole % 60)}`
    : `${one.format(Math.floor(whole / 3600))}:${two.format(Math.floor(whole / 60) % 60)}:${two.format(whole % 60)}`;
}

/** list says several names after each other: "a, b, and c". */
export function list(names: readonly string[]): string {
  return new Intl.ListFormat(language, { type: "conjunction" }).format(names);
}

/** percent is a share of one. */
export function percent(share: number): string {
  return new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 }).format(share);
}
