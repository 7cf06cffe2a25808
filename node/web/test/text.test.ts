import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Catalogue } from "../src/text/catalogue.ts";
import { directionOf, inUse, languages, pick } from "../src/text/catalogue.ts";
import en from "../src/text/messages/en.ts";
import ar from "../src/text/messages/ar.json";
import es from "../src/text/messages/es.json";
import fr from "../src/text/messages/fr.json";
import hi from "../src/text/messages/hi.json";
import id from "../src/text/messages/id.json";
import pt from "../src/text/messages/pt.json";

const catalogues: Record<keyof typeof languages, Catalogue> = { en, ar, es, fr, hi, id, pt };

/** messages lists every message by its path; the forms of a plural are one message each. */
function messages(part: object, at = ""): Map<string, string> {
  const all = new Map<string, string>();
  for (const [key, value] of Object.entries(part)) {
    const path = at === "" ? key : `${at}.${key}`;
    if (typeof value === "string") all.set(path, value);
    else for (const [deeper, message] of messages(value as object, path)) all.set(deeper, message);
  }
  return all;
}

const plurals = [...messages(en).keys()].filter((path) => path.endsWith(".other")).map((path) => path.slice(0, -".other".length));
const ofPlural = (path: string) => plurals.find((plural) => path.startsWith(`${plural}.`) && !path.slice(plural.length + 1).includes("."));
const open = (message: string) => [...message.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!).sort();

describe("catalogues", () => {
  const source = messages(en);
  for (const [language, catalogue] of Object.entries(catalogues)) {
    const said = messages(catalogue);
    test(`${language} says everything, and nothing else`, () => {
      const keys = (all: Map<string, string>) => [...new Set([...all.keys()].map((path) => ofPlural(path) ?? path))].sort();
      assert.deepEqual(keys(said), keys(source));
      for (const [path, message] of said) assert.notEqual(message.trim(), "", `${path} is empty`);
    });
    test(`${language} fills in what English does`, () => {
      for (const [path, message] of said) {
        const plural = ofPlural(path);
        const want = open(source.get(plural === undefined ? path : `${plural}.other`)!);
        // "one other" need not say the number again
        const count = (names: string[]) => (plural === undefined ? names : names.filter((name) => name !== "n"));
        assert.deepEqual(count(open(message)), count(want), path);
        if (path.endsWith(".other") && plural !== undefined) assert.deepEqual(open(message), want, path);
        assert.equal(message.replaceAll(/\{\w+\}/g, "").match(/[{}<>]/), null, `${path} has stray signs`);
      }
    });
    test(`${language} has the plural forms of its grammar`, () => {
      const categories = new Intl.PluralRules(language).resolvedOptions().pluralCategories.sort();
      for (const plural of plurals) {
        const forms = [...said.keys()].filter((path) => ofPlural(path) === plural).map((path) => path.slice(plural.length + 1));
        assert.deepEqual(forms.sort(), [...categories].sort(), plural);
      }
    });
  }
  test("a language is another one, not English again", () => {
    for (const [language, catalogue] of Object.entries(catalogues)) {
      if (language === "en") continue;
      const said = messages(catalogue);
      const same = [...source].filter(([path, message]) => said.get(path) === message).length;
      assert.ok(same < source.size / 10, `${language}: ${same} of ${source.size} messages are English`);
    }
  });
});

describe("text", () => {
  test("numbers choose the form and are written as the language writes them", () => {
    const english = inUse(en, "en");
    assert.equal(english.lobby.with({ host: "Ada", n: 1 }), "Ada and 1 other on stage");
    assert.equal(english.lobby.with({ host: "Ada", n: 1234 }), "Ada and 1,234 others on stage");
    const arabic = inUse(ar, "ar");
    assert.notEqual(arabic.lobby.listening({ n: 3 }), arabic.lobby.listening({ n: 11 }));
    assert.ok(!arabic.lobby.listening({ n: 2 }).includes("2"), "two have a form of their own");
  });

  test("a name of the other direction is set apart", () => {
    const english = inUse(en, "en");
    assert.equal(english.news.raised({ name: "Bob" }), "Bob asks to speak.");
    assert.equal(english.news.raised({ name: "نور" }), "\u2068نور\u2069 asks to speak.");
    assert.ok(inUse(ar, "ar").news.raised({ name: "Bob" }).includes("\u2068Bob\u2069"));
  });

  test("what is filled in is not looked into again", () => {
    assert.equal(inUse(en, "en").queue.deny({ name: "{name} {n}" }), "Decline {name} {n}");
  });

  test("the first language that there is, is picked", () => {
    assert.equal(pick(["de-CH", "pt-BR", "en"]), "pt");
    assert.equal(pick([null, "xx", undefined]), "en");
    assert.equal(pick(["AR"]), "ar");
    assert.equal(directionOf("ar"), "rtl");
    assert.equal(directionOf("id"), "ltr");
  });
});
