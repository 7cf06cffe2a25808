import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Role, View } from "../core/view.ts";
import { moderates, onStage, outranks, roleOf } from "../core/view.ts";
import type { Session } from "../room/session.ts";
import { text } from "../text/text.ts";
import { Avatar } from "./avatar.tsx";
import { Dialog } from "./dialog.tsx";
import { useApp, useBusy, useStore } from "./hooks.ts";
import { Flag, MicOff } from "./icons.tsx";

/** Longest reason, as the API has it. */
const reasonMax = 280;

/** Who the sheet is about. */
export interface Chosen {
  user: string;
  name: string;
}

/** PersonSheet says who somebody is, and holds what this person may do about them, and nothing else. */
export function PersonSheet({ session, view, person, report, close }: { session: Session; view: View; person: Chosen; report: () => void; close: () => void }): JSX.Element {
  const app = useApp();
  const { known } = useStore(app.profiles.store);
  const { joined } = useStore(session.state);
  useEffect(() => app.profiles.want([person.user]), [person.user]);
  const bio = known.get(person.user)?.bio ?? "";
  const role = roleOf(view, person.user);
  const self = person.user === session.me;
  const warnings = view.warnings[person.user]?.count ?? 0;
  return (
    <Dialog title={person.name} close={close}>
      <div class="sheet-person">
        <Avatar user={person.user} name={person.name} size="large" />
        <div>
          <p class="soft">{[text.roles[role], view.invitations[person.user] && text.person.invited].filter(Boolean).join(" · ")}</p>
          {bio !== "" && (
            <p class="bio" dir="auto">
              {bio}
            </p>
          )}
          {warnings > 0 && <p class="soft">{text.person.warned({ n: warnings })}</p>}
        </div>
      </div>
      {joined && !self && onStage(role) && <Loudness session={session} user={person.user} />}
      {joined && !self && moderates(session.role) && outranks(session.role, role) && <Commands session={session} view={view} person={person} role={role} close={close} />}
      {!self && session.me !== undefined && (
        <div class="stack">
          <button type="button" class="plain" onClick={report}>
            <Flag />
            {text.person.report}
          </button>
        </div>
      )}
    </Dialog>
  );
}

function Loudness({ session, user }: { session: Session; user: string }): JSX.Element {
  const [volume, setVolume] = useState(session.loudnessOf(user));
  return (
    <label class="field">
      <span>{text.person.loudness}</span>
      <input
        type="range"
        min="0"
        max="100"
        step="5"
        value={volume * 100}
        onInput={(event) => {
          const next = event.currentTarget.valueAsNumber / 100;
          session.loudness(user, next);
          setVolume(next);
        }}
      />
    </label>
  );
}

/** Commands are a host's and a co-host's, for somebody of a lower role. */
function Commands({ session, view, person, role, close }: { session: Session; view: View; person: Chosen; role: Role; close: () => void }): JSX.Element {
  const { user } = person;
  const [busy, run] = useBusy();
  const act = (work: () => Promise<unknown>) => void run(work).then((done) => done && close());
  const button = (label: string, work: () => Promise<unknown>, disabled = false) => (
    <button type="button" class="plain" disabled={busy || disabled} onClick={() => act(work)}>
      {label}
    </button>
  );
  const host = session.role === "host";
  return (
    <div class="stack">
      {onStage(role) && (
        <>
          <button type="button" class="plain" disabled={busy || view.participants[user]?.muted !== false} onClick={() => act(() => session.room.mute(user))}>
            <MicOff />
            {text.person.mute}
          </button>
          {view.participants[user]?.muted === false && <Because label={text.person.muteWhy} act={(reason) => session.room.mute(user, reason)} close={close} />}
          {button(text.person.toListeners, () => session.room.setRole(user, "listener"))}
          {host && role === "speaker" && button(text.person.toCohost, () => session.room.setRole(user, "cohost"))}
          {host && role === "cohost" && button(text.person.toSpeaker, () => session.room.setRole(user, "speaker"))}
          {host && <HandOver session={session} person={person} close={close} />}
        </>
      )}
      {!onStage(role) && view.requests[user] && button(text.queue.approve({ name: person.name }), () => session.room.approve(user))}
      {!onStage(role) && view.requests[user] && <Because label={text.person.denyWhy} act={(reason) => session.room.deny(user, reason)} close={close} />}
      {!onStage(role) && !view.requests[user] && button(text.person.invite, () => session.room.invite(user), view.invitations[user] !== undefined)}
      <Warn session={session} user={user} close={close} />
      <Remove session={session} user={user} close={close} />
    </div>
  );
}

/** HandOver asks once more: nobody but the other person can undo it. */
function HandOver({ session, person, close }: { session: Session; person: Chosen; close: () => void }): JSX.Element {
  const [sure, setSure] = useState(false);
  const [busy, run] = useBusy();
  return sure ? (
    <button type="button" class="danger" disabled={busy} onClick={() => void run(() => session.room.setRole(person.user, "host")).then((done) => done && close())}>
      {text.person.handOverSure({ name: person.name })}
    </button>
  ) : (
    <button type="button" class="plain" onClick={() => setSure(true)}>
      {text.person.handOver}
    </button>
  );
}

/** Because does something to somebody and says why: to them, to hosts and in the record. */
function Because({ label, act, close }: { label: string; act: (reason: string) => Promise<unknown>; close: () => void }): JSX.Element {
  const [reason, setReason] = useState("");
  const [busy, run] = useBusy();
  const submit = (event: Event) => {
    event.preventDefault();
    void run(() => act(reason.trim())).then((done) => done && close());
  };
  return (
    <details class="fold">
      <summary>{label}</summary>
      <form class="form" onSubmit={submit}>
        <label class="field">
          <span>{text.person.warnReason}</span>
          <input required maxLength={reasonMax} value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
        </label>
        <button type="submit" class="plain" disabled={busy}>
          {label}
        </button>
      </form>
    </details>
  );
}

function Warn({ session, user, close }: { session: Session; user: string; close: () => void }): JSX.Element {
  const [reason, setReason] = useState("");
  const [everybody, setEverybody] = useState(false);
  const [busy, run] = useBusy();
  const submit = (event: Event) => {
    event.preventDefault();
    void run(() => session.room.warn(user, reason.trim(), everybody)).then((done) => done && close());
  };
  return (
    <details class="fold">
      <summary>{text.person.warn}</summary>
      <form class="form" onSubmit={submit}>
        <label class="field">
          <span>{text.person.warnReason}</span>
          <input required maxLength={reasonMax} value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
        </label>
        <label class="check">
          <input type="checkbox" checked={everybody} onChange={(event) => setEverybody(event.currentTarget.checked)} />
          <span>{text.person.warnPublic}</span>
        </label>
        <button type="submit" class="plain" disabled={busy}>
          {text.person.warn}
        </button>
      </form>
    </details>
  );
}

function Remove({ session, user, close }: { session: Session; user: string; close: () => void }): JSX.Element {
  const [ban, setBan] = useState(false);
  const [everywhere, setEverywhere] = useState(false);
  const [reason, setReason] = useState("");
  const [busy, run] = useBusy();
  const remove = () => void run(() => session.room.remove(user, { ban, everywhere: ban && everywhere, reason: reason.trim() })).then((done) => done && close());
  return (
    <div class="danger-zone">
      <label class="field">
        <span>{text.person.reason}</span>
        <input maxLength={reasonMax} value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
      </label>
      <label class="check">
        <input type="checkbox" checked={ban} onChange={(event) => setBan(event.currentTarget.checked)} />
        <span>{text.person.ban}</span>
      </label>
      {ban && session.role === "host" && (
        <label class="check">
          <input type="checkbox" checked={everywhere} onChange={(event) => setEverywhere(event.currentTarget.checked)} />
          <span>{text.person.everywhere}</span>
        </label>
      )}
      <button type="button" class="danger" disabled={busy} onClick={remove}>
        {text.person.remove}
      </button>
    </div>
  );
}
