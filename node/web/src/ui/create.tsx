import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { text } from "../text/text.ts";
import { Dialog } from "./dialog.tsx";
import { useApp, useBusy } from "./hooks.ts";
import { NameField, useName } from "./name.tsx";

const titleMax = 120;
const descriptionMax = 500;

/** Create asks what a new room is about, opens it and goes there. */
export function Create({ close }: { close: () => void }): JSX.Element {
  const app = useApp();
  const [name, setName] = useName();
  const [title, setTitle] = useState("");
  const [description, setDescription] = useState("");
  const [busy, run] = useBusy();

  const submit = (event: Event) => {
    event.preventDefault();
    void run(async () => {
      await app.identify(name);
      const about = description.trim();
      const room = await app.api.createRoom({ title: title.trim(), ...(about === "" ? {} : { description: about }) });
      app.go(`/r/${room.id}`, room.id);
    });
  };

  return (
    <Dialog title={text.create.title} close={close}>
      <form class="form" onSubmit={submit}>
        <p class="soft">{text.create.lead}</p>
        <label class="field">
          <span>{text.create.name}</span>
          <input
            name="title"
            required
            autocomplete="off"
            maxLength={titleMax}
            placeholder={text.create.namePlaceholder}
            value={title}
            onInput={(event) => setTitle(event.currentTarget.value)}
          />
        </label>
        <label class="field">
          <span>{text.create.description}</span>
          <textarea name="description" rows={2} maxLength={descriptionMax} value={description} onInput={(event) => setDescription(event.currentTarget.value)} />
        </label>
        <NameField value={name} change={setName} />
        <div class="actions">
          <button type="button" class="plain" onClick={close}>
            {text.create.cancel}
          </button>
          <button type="submit" class="primary" disabled={busy}>
            {text.create.submit}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
