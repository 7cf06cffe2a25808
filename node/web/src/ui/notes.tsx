import type { JSX } from "preact";
import { text } from "../text/text.ts";
import { useApp, useStore } from "./hooks.ts";
import { Cross } from "./icons.tsx";

/** Notes are short texts at the edge of the screen; they go by themselves. */
export function Notes(): JSX.Element {
  const app = useApp();
  const { notes } = useStore(app.state);
  return (
    <aside class="notes" aria-label={text.notes}>
      {notes.map((note) => (
        <div key={note.id} class={note.trouble ? "note trouble" : "note"}>
          <span>{note.text}</span>
          <button type="button" class="round quiet" aria-label={text.person.close} onClick={() => app.dismiss(note.id)}>
            <Cross />
          </button>
        </div>
      ))}
    </aside>
  );
}
