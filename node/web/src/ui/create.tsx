import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { nodeFor } from "../room/kept.ts";
import { text } from "../text/text.ts";
import { blank, DetailsFields, detailsOf } from "./details.tsx";
import { Dialog } from "./dialog.tsx";
import { useApp, useBusy } from "./hooks.ts";
import { NameField, useName } from "./name.tsx";
import { RegionsField, useRegions } from "./regions.tsx";

/** Create asks what a new room is about, opens it or schedules it, and goes there. */
export function Create({ close }: { close: () => void }): JSX.Element {
  const app = useApp();
  const [name, setName] = useName();
  const [draft, setDraft] = useState(blank);
  const [later, setLater] = useState(false);
  const [at, setAt] = useState("");
  const regions = useRegions();
  const [within, setWithin] = useState<string[] | null>(null);
  const [busy, run] = useBusy();

  const submit = (event: Event) => {
    event.preventDefault();
    void run(async () => {
      await app.identify(name);
      const startsAt = later ? { startsAt: new Date(at).toISOString() } : {};
      if (regions && within) app.route.move([nodeFor(regions, within)]);
      const room = await app.api.createRoom({ ...detailsOf(draft), ...startsAt, ...(within ? { regions: within } : {}) });
      app.go(`/r/${room.id}`, later ? null : room.id);
    });
  };

  return (
    <Dialog title={text.create.title} close={close}>
      <form class="form" onSubmit={submit}>
        <p class="soft">{text.create.lead}</p>
        <DetailsFields draft={draft} change={setDraft} open={false}>
          {regions && <RegionsField regions={regions} chosen={within} choose={setWithin} />}
        </DetailsFields>
        <fieldset class="choice row">
          <legend>{text.create.begins}</legend>
          <label class="check">
            <input type="radio" name="begins" checked={!later} onChange={() => setLater(false)} />
            <span>{text.create.now}</span>
          </label>
          <label class="check">
            <input type="radio" name="begins" checked={later} onChange={() => setLater(true)} />
            <span>{text.create.later}</span>
          </label>
        </fieldset>
        {later && (
          <label class="field">
            <span>{text.create.when}</span>
            <input type="datetime-local" required min={localTime(Date.now())} value={at} onInput={(event) => setAt(event.currentTarget.value)} />
          </label>
        )}
        <NameField value={name} change={setName} />
        <div class="actions">
          <button type="button" class="plain" onClick={close}>
            {text.create.cancel}
          </button>
          <button type="submit" class="primary" disabled={busy}>
            {later ? text.create.schedule : text.create.submit}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** localTime is a moment as a datetime-local field has it: in the viewer's zone, without one. */
function localTime(moment: number): string {
  return new Date(moment - new Date(moment).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
