import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Session } from "../room/session.ts";
import { text } from "../text/text.ts";
import { Dialog } from "./dialog.tsx";
import { useApp, useBusy } from "./hooks.ts";

/** What is sent as the reason: the same word in every language, for the operator who sorts them. */
const reasons = { harassment: "Harassment", hate: "Hate", spam: "Spam or fraud", danger: "Danger", else: "Other" } as const;

type Reason = keyof typeof reasons;

/** ReportSheet tells the operator of the mesh about a person, or about the room where there is none. */
export function ReportSheet({ session, person, close }: { session: Session; person: { user: string; name: string } | null; close: () => void }): JSX.Element {
  const app = useApp();
  const [reason, setReason] = useState<Reason | null>(null);
  const [note, setNote] = useState("");
  const [busy, run] = useBusy();
  const submit = (event: Event) => {
    event.preventDefault();
    if (!reason) return;
    void run(() => session.room.report(person?.user ?? null, reasons[reason], note.trim())).then((done) => {
      if (!done) return;
      close();
      app.note(text.report.sent);
    });
  };
  return (
    <Dialog title={person ? text.report.title({ name: person.name }) : text.report.room} close={close}>
      <form class="form" onSubmit={submit}>
        <p class="soft">{text.report.lead}</p>
        <fieldset class="choice">
          <legend>{text.report.reason}</legend>
          {(Object.keys(reasons) as Reason[]).map((each) => (
            <label key={each} class="check">
              <input type="radio" name="reason" required checked={reason === each} onChange={() => setReason(each)} />
              <span>{text.report[each]}</span>
            </label>
          ))}
        </fieldset>
        <label class="field">
          <span>{text.report.note}</span>
          <textarea rows={3} maxLength={2000} value={note} onInput={(event) => setNote(event.currentTarget.value)} />
        </label>
        <div class="actions">
          <button type="submit" class="primary" disabled={busy}>
            {text.report.send}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
