import type { JSX } from "preact";
import { languages } from "../text/catalogue.ts";
import type { Language } from "../text/catalogue.ts";
import { language, text } from "../text/text.ts";
import { useApp } from "./hooks.ts";

/** LanguageChoice is the one place to read the page in another language. Each is called as its readers call it. */
export function LanguageChoice(): JSX.Element {
  const app = useApp();
  return (
    <label class="language">
      <span class="hidden">{text.language}</span>
      <select value={language} onChange={(event) => void app.speak(event.currentTarget.value as Language)}>
        {Object.entries(languages).map(([tag, name]) => (
          <option key={tag} value={tag} lang={tag}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}
