import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { View } from "../core/view.ts";
import { moderates, onStage } from "../core/view.ts";
import type { Session } from "../room/session.ts";
import { text } from "../text/text.ts";
import { changesOf, DetailsFields, draftOf } from "./details.tsx";
import { Dialog } from "./dialog.tsx";
import { useApp, useBusy, useStore } from "./hooks.ts";
import { LanguageChoice } from "./language.tsx";
import type { Chosen } from "./person.tsx";
import { PersonSheet } from "./person.tsx";
import { PeopleSheet } from "./people.tsx";
import { PinForm } from "./pins.tsx";
import { ProfileSheet } from "./profile.tsx";
import { RecordSheet, TalkSheet } from "./record.tsx";
import { ReportSheet } from "./report.tsx";
import { ShareSheet } from "./share.tsx";
import { TurnsSheet } from "./turns.tsx";

/** Which sheet lies over the room; one at a time. */
export type Sheet =
  | { is: "menu" | "people" | "rules" | "profile" | "pin" | "edit" | "turns" | "record" | "talk" | "share" }
  | { is: "person"; person: Chosen }
  | { is: "report"; person: Chosen | null };

/** Sheets shows the sheet that was asked for. */
export function Sheets({ session, view, sheet, open }: { session: Session; view: View; sheet: Sheet | null; open: (sheet: Sheet | null) => void }): JSX.Element | null {
  if (!sheet) return null;
  const close = () => open(null);
  switch (sheet.is) {
    case "menu":
      return <Menu session={session} view={view} open={open} />;
    case "people":
      return <PeopleSheet session={session} choose={(person) => open({ is: "person", person })} close={close} />;
    case "person":
      return <PersonSheet key={sheet.person.user} session={session} view={view} person={sheet.person} report={() => open({ is: "report", person: sheet.person })} close={close} />;
    case "report":
      return <ReportSheet session={session} person={sheet.person} close={close} />;
    case "rules":
      return (
        <Dialog title={text.room.rules} close={close}>
          <p class="about" dir="auto">
            {view.rules}
          </p>
        </Dialog>
      );
    case "profile":
      return <ProfileSheet close={close} />;
    case "pin":
      return <PinForm session={session} close={close} />;
    case "edit":
      return <Edit session={session} view={view} close={close} />;
    case "turns":
      return <TurnsSheet session={session} view={view} close={close} />;
    case "record":
      return <RecordSheet session={session} view={view} close={close} />;
    case "talk":
      return <TalkSheet view={view} close={close} />;
    case "share":
      return <ShareSheet session={session} view={view} close={close} />;
  }
}

/** Menu holds what is not needed every minute: for everybody, and below it what only hosts and co-hosts can do. */
function Menu({ session, view, open }: { session: Session; view: View; open: (sheet: Sheet | null) => void }): JSX.Element {
  const { joined } = useStore(session.state);
  const item = (label: string, sheet: Sheet) => (
    <button type="button" class="plain" onClick={() => open(sheet)}>
      {label}
    </button>
  );
  return (
    <Dialog title={view.title} close={() => open(null)}>
      <div class="stack">
        {session.me !== undefined && item(text.people.title, { is: "people" })}
        {view.rules && item(text.room.rules, { is: "rules" })}
        {joined && onStage(session.role) && item(moderates(session.role) ? text.pins.add : text.pins.propose, { is: "pin" })}
        {onStage(session.role) && item(text.host.talk, { is: "talk" })}
        {session.me !== undefined && item(text.profile.title, { is: "profile" })}
        {session.me !== undefined && item(text.report.room, { is: "report", person: null })}
      </div>
      {joined && moderates(session.role) && <Hosting session={session} view={view} open={open} item={item} />}
      <LanguageChoice />
    </Dialog>
  );
}

function Hosting(props: { session: Session; view: View; open: (sheet: Sheet | null) => void; item: (label: string, sheet: Sheet) => JSX.Element }): JSX.Element {
  const { session, view, open, item } = props;
  const app = useApp();
  const { joined } = useStore(session.presence);
  const [busy, run] = useBusy();
  const act = (label: string, work: () => Promise<void>, said = "") => (
    <button
      type="button"
      class="plain"
      disabled={busy}
      onClick={() =>
        void run(work).then((done) => {
          if (!done) return;
          open(null);
          if (said !== "") app.note(said);
        })
      }
    >
      {label}
    </button>
  );
  return (
    <section class="stack" aria-labelledby="hosting">
      <h3 id="hosting">{text.host.title}</h3>
      {item(text.host.edit, { is: "edit" })}
      {act(text.host.muteAll, () => session.room.muteAll(), text.host.mutedAll)}
      {act(view.locked ? text.host.unlock : text.host.lock, () => session.room.lock(!view.locked))}
      {act(text.host.refresh, () => session.room.refresh())}
      {joined > 0 && <p class="soft fine">{text.host.joined({ n: joined })}</p>}
      {item(text.turns.title, { is: "turns" })}
      {item(text.host.record, { is: "record" })}
    </section>
  );
}

/** Edit changes what the room says of itself while it is live. */
function Edit({ session, view, close }: { session: Session; view: View; close: () => void }): JSX.Element {
  const [draft, setDraft] = useState(draftOf(view));
  const [busy, run] = useBusy();
  const submit = (event: Event) => {
    event.preventDefault();
    const change = changesOf(draft, view);
    if (Object.keys(change).length === 0) return close();
    void run(() => session.room.edit(change)).then((done) => done && close());
  };
  return (
    <Dialog title={text.host.edit} close={close}>
      <form class="form" onSubmit={submit}>
        <DetailsFields draft={draft} change={setDraft} open />
        <div class="actions">
          <button type="button" class="plain" onClick={close}>
            {text.create.cancel}
          </button>
          <button type="submit" class="primary" disabled={busy}>
            {text.create.save}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
