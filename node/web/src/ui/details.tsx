import type { ComponentChildren, JSX } from "preact";
import type { RoomDetails } from "../core/api.ts";
import type { Asking, View } from "../core/view.ts";
import { text } from "../text/text.ts";

/** Longest texts, as the API has them. */
const titleMax = 120;
const descriptionMax = 2_000;
const rulesMax = 4_000;
const tagMax = 32;
const tagsMax = 8;

/** Languages that a room's talk may be in: those of most of the world's listeners, by the browser's own names for them. */
const spoken = ["en", "es", "pt", "fr", "de", "it", "nl", "pl", "tr", "ru", "uk", "ar", "fa", "ur", "hi", "bn", "ta", "id", "ms", "vi", "th", "sw", "ha", "yo", "am", "zh", "ja", "ko"];

/** What the form holds: every field as it is typed. */
export interface Draft {
  title: string;
  description: string;
  rules: string;
  mode: string;
  tags: string;
  language: string;
  requests: Asking | ""; // "": as the mode has it
}

export const blank: Draft = { title: "", description: "", rules: "", mode: "discussion", tags: "", language: "", requests: "" };

/** draftOf is the form of a room that there is. */
export function draftOf(view: View): Draft {
  return {
    title: view.title,
    description: view.description ?? "",
    rules: view.rules ?? "",
    mode: view.mode ?? "discussion",
    tags: (view.tags ?? []).join(", "),
    language: view.language ?? "",
    requests: view.policy?.requests ?? "",
  };
}

/** detailsOf is what a form says, without what was left empty. */
export function detailsOf(draft: Draft): RoomDetails {
  const [title, description, rules] = [draft.title.trim(), draft.description.trim(), draft.rules.trim()];
  const tags = tagsOf(draft.tags);
  return {
    title,
    ...(description === "" ? {} : { description }),
    ...(rules === "" ? {} : { rules }),
    mode: draft.mode,
    ...(tags.length === 0 ? {} : { tags }),
    ...(draft.language === "" ? {} : { language: draft.language }),
    ...(draft.requests === "" ? {} : { policy: { requests: draft.requests } }),
  };
}

/** changesOf is what a form says other than the room. A mode that stays is not said: it would bring its policy with it. */
export function changesOf(draft: Draft, view: View): RoomDetails {
  const before = draftOf(view);
  const change: RoomDetails = {};
  if (draft.title !== before.title) change.title = draft.title.trim();
  if (draft.description !== before.description) change.description = draft.description.trim();
  if (draft.rules !== before.rules) change.rules = draft.rules.trim();
  if (draft.mode !== before.mode) change.mode = draft.mode;
  if (draft.tags !== before.tags) change.tags = tagsOf(draft.tags);
  if (draft.language !== before.language) change.language = draft.language;
  if (draft.requests !== before.requests && draft.requests !== "") change.policy = { requests: draft.requests };
  return change;
}

/** tagsOf reads topics with commas between them, also those of Arabic and of East Asia. */
function tagsOf(typed: string): string[] {
  const tags = typed.split(/[,،、，]/u).map((tag) => tag.trim().slice(0, tagMax));
  return [...new Set(tags.filter((tag) => tag !== ""))].slice(0, tagsMax);
}

/** DetailsFields are the fields of a room, to create it and to change it; children are those that are for one of both only. */
export function DetailsFields({ draft, change, open, children }: { draft: Draft; change: (draft: Draft) => void; open: boolean; children?: ComponentChildren }): JSX.Element {
  const names = new Intl.DisplayNames(document.documentElement.lang, { type: "language" });
  return (
    <>
      <label class="field">
        <span>{text.create.name}</span>
        <input
          name="title"
          required
          autocomplete="off"
          maxLength={titleMax}
          placeholder={text.create.namePlaceholder}
          value={draft.title}
          onInput={(event) => change({ ...draft, title: event.currentTarget.value })}
        />
      </label>
      <label class="field">
        <span>{text.create.description}</span>
        <textarea name="description" rows={2} maxLength={descriptionMax} value={draft.description} onInput={(event) => change({ ...draft, description: event.currentTarget.value })} />
      </label>
      <details class="fold" open={open}>
        <summary>{text.create.more}</summary>
        <div class="form">
          <label class="field">
            <span>{text.create.rules}</span>
            <textarea rows={3} maxLength={rulesMax} value={draft.rules} onInput={(event) => change({ ...draft, rules: event.currentTarget.value })} />
            <small class="soft">{text.create.rulesLead}</small>
          </label>
          <label class="field">
            <span>{text.create.mode}</span>
            <select value={draft.mode} onChange={(event) => change({ ...draft, mode: event.currentTarget.value, requests: "" })}>
              {(Object.keys(text.modes) as Array<keyof typeof text.modes>).map((mode) => (
                <option key={mode} value={mode}>
                  {text.modes[mode]}
                </option>
              ))}
            </select>
          </label>
          <label class="field">
            <span>{text.create.requests}</span>
            <select
              value={draft.requests || (draft.mode === "lecture" ? "closed" : "everyone")}
              onChange={(event) => change({ ...draft, requests: event.currentTarget.value as Asking })}
            >
              {(["everyone", "invited", "closed"] as const).map((who) => (
                <option key={who} value={who}>
                  {text.requests[who]}
                </option>
              ))}
              {draft.requests === "list" && <option value="list">{text.requests.list}</option>}
            </select>
          </label>
          <label class="field">
            <span>{text.create.tags}</span>
            <input value={draft.tags} maxLength={(tagMax + 2) * tagsMax} onInput={(event) => change({ ...draft, tags: event.currentTarget.value })} />
          </label>
          <label class="field">
            <span>{text.create.spoken}</span>
            <select value={draft.language} onChange={(event) => change({ ...draft, language: event.currentTarget.value })}>
              <option value="">{text.create.anyLanguage}</option>
              {(spoken.includes(draft.language) || draft.language === "" ? spoken : [draft.language, ...spoken]).map((tag) => (
                <option key={tag} value={tag}>
                  {names.of(tag) ?? tag}
                </option>
              ))}
            </select>
          </label>
          {children}
        </div>
      </details>
    </>
  );
}
