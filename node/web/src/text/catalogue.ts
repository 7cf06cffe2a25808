import type en from "./messages/en.ts";

/** The plural categories of Unicode (UTS #35); every language has `other`. */
type Category = "zero" | "one" | "two" | "few" | "many" | "other";

/** A message that is chosen by a number. */
export type Plural = { other: string } & Partial<Record<Category, string>>;

/** Catalogue is everything the client says in one language: the shape of the English one, with any words. */
export type Catalogue = Words<typeof en>;
type Words<T> = { readonly [K in keyof T]: T[K] extends string ? string : T[K] extends { readonly other: string } ? Readonly<Plural> : Words<T[K]> };

/** Names of what a message leaves open. */
type Open<S extends string> = S extends `${string}{${infer Name}}${infer Rest}` ? Name | Open<Rest> : never;
type Args<S extends string> = { readonly [Name in Open<S>]: Name extends "n" ? number : string | number };

/** Text is a catalogue in use: a message is a string, or a function of what it leaves open. */
export type Text = Said<typeof en>;
type Said<T> = {
  readonly [K in keyof T]: T[K] extends string
    ? [Open<T[K]>] extends [never] ? string : (args: Args<T[K]>) => string
    : T[K] extends { readonly other: infer S extends string } ? (args: Args<S> & { readonly n: number }) => string
    : Said<T[K]>;
};

/** Letters of scripts that are written from right to left (UAX #9: R and AL), and nothing that only looks at neighbours. */
const rightToLeft = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const isolate = (value: string) => `\u2068${value}\u2069`;

/**
 * inUse compiles a catalogue. What is filled in is set apart from the sentence around it (UAX #9, isolates) wherever their
 * directions may differ, so that a name can neither turn the sentence round nor be turned by it. Numbers are written as the
 * language writes them.
 */
export function inUse(catalogue: Catalogue, language: string): Text {
  const plurals = new Intl.PluralRules(language);
  const numbers = new Intl.NumberFormat(language);
  const mirrored = directionOf(language) === "rtl";
  const fill = (message: string, args: Record<string, string | number>) =>
    message.replaceAll(/\{(\w+)\}/g, (open, name: string) => {
      const value = args[name];
      if (value === undefined) return open;
      if (typeof value === "number") return numbers.format(value);
      return mirrored !== rightToLeft.test(value) || (mirrored && /[A-Za-z]/.test(value)) ? isolate(value) : value;
    });
  const walk = (part: unknown): unknown => {
    if (typeof part === "string") return part.includes("{") ? (args: Record<string, string | number>) => fill(part, args) : part;
    const entries = part as Record<string, unknown>;
    if (typeof entries["other"] === "string") {
      const forms = entries as unknown as Plural;
      return (args: Record<string, string | number> & { n: number }) => fill(forms[plurals.select(args.n)] ?? forms.other, args);
    }
    return Object.fromEntries(Object.entries(entries).map(([key, value]) => [key, walk(value)]));
  };
  return walk(catalogue) as Text;
}

/** directionOf is how a language that we have is written. */
export function directionOf(language: string): "ltr" | "rtl" {
  return /^(ar|fa|he|ur)\b/.test(language) ? "rtl" : "ltr";
}

/** The languages that there are, by their own names. */
export const languages = {
  en: "English",
  es: "Español",
  pt: "Português",
  fr: "Français",
  ar: "العربية",
  hi: "हिन्दी",
  id: "Bahasa Indonesia",
} as const;

export type Language = keyof typeof languages;

/** pick chooses the first of what a person wants that there is: the very tag, or its language. */
export function pick(wanted: readonly (string | null | undefined)[]): Language {
  for (const tag of wanted) {
    const language = tag?.toLowerCase().split("-")[0] ?? "";
    if (language in languages) return language as Language;
  }
  return "en";
}
