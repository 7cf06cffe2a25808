import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { OwnProfile } from "../core/api.ts";
import { Said } from "../core/problem.ts";
import { text } from "../text/text.ts";
import { Avatar } from "./avatar.tsx";
import { Dialog } from "./dialog.tsx";
import { useApp, useBusy } from "./hooks.ts";
import { nameMax } from "./name.tsx";

/** Side of the square that is uploaded, in pixels: as large as the node keeps it. */
const pictureSide = 256;

/** ProfileSheet is what others see of this person. */
export function ProfileSheet({ close }: { close: () => void }): JSX.Element {
  const app = useApp();
  const [profile, setProfile] = useState<OwnProfile | null>(null);
  const [busy, run] = useBusy();
  useEffect(() => {
    void app.attempt(async () => setProfile(await app.api.profile()));
  }, []);
  const again = async () => {
    const next = await app.api.profile();
    app.profiles.forget(next.user);
    app.profiles.want([next.user]);
    setProfile((before) => ({ ...next, name: before?.name ?? next.name ?? "", bio: before?.bio ?? "" }));
  };
  const picture = (file: File | undefined) =>
    void run(async () => {
      await app.api.setAvatar(file ? await squareOf(file) : null);
      await again();
    });
  const submit = (event: Event) => {
    event.preventDefault();
    if (!profile) return;
    void run(() => app.rename(profile)).then((done) => {
      if (!done) return;
      close();
      app.note(text.profile.kept);
    });
  };
  return (
    <Dialog title={text.profile.title} close={close}>
      {profile && (
        <form class="form" onSubmit={submit}>
          <div class="sheet-person">
            <Avatar user={profile.user} name={profile.name ?? ""} size="large" picture={profile.avatar ?? ""} />
            <label class="field">
              <span>{text.profile.picture}</span>
              <input type="file" accept="image/*" disabled={busy} onChange={(event) => picture(event.currentTarget.files?.[0])} />
              <small class="soft">{text.profile.pictureLead}</small>
            </label>
          </div>
          {profile.avatar && (
            <button type="button" class="link" disabled={busy} onClick={() => picture(undefined)}>
              {text.profile.noPicture}
            </button>
          )}
          <label class="field">
            <span>{text.name.label}</span>
            <input required maxLength={nameMax} autocomplete="nickname" value={profile.name ?? ""} onInput={(event) => setProfile({ ...profile, name: event.currentTarget.value })} />
          </label>
          <label class="field">
            <span>{text.profile.bio}</span>
            <input maxLength={280} value={profile.bio ?? ""} onInput={(event) => setProfile({ ...profile, bio: event.currentTarget.value })} />
          </label>
          <label class="check">
            <input type="checkbox" role="switch" checked={profile.hidden} onChange={(event) => setProfile({ ...profile, hidden: event.currentTarget.checked })} />
            <span>
              {text.profile.hidden}
              <small class="soft">{text.profile.hiddenLead}</small>
            </span>
          </label>
          <div class="actions">
            <button type="submit" class="primary" disabled={busy}>
              {text.create.save}
            </button>
          </div>
        </form>
      )}
    </Dialog>
  );
}

/** squareOf is the middle of a picture as the node wants it: a photograph of a telephone would be too large to send. */
async function squareOf(file: File): Promise<Blob> {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Said(text.profile.notAPicture);
  });
  const side = Math.min(bitmap.width, bitmap.height);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = pictureSide;
  canvas.getContext("2d")?.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, pictureSide, pictureSide);
  bitmap.close();
  return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Said(text.profile.notAPicture))), "image/jpeg", 0.9));
}
