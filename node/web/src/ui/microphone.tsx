import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { View } from "../core/view.ts";
import type { Filters } from "../media/microphone.ts";
import type { Session } from "../room/session.ts";
import { keepSettings } from "../room/settings.ts";
import { text } from "../text/text.ts";
import { Dialog } from "./dialog.tsx";
import { useApp, useBusy, useStore } from "./hooks.ts";
import { Mic, MicOff, Sliders } from "./icons.tsx";

/** MicrophoneButton is the one button that matters on stage: turn on, then unmute and mute. */
export function MicrophoneButton({ session, view }: { session: Session; view: View }): JSX.Element {
  const app = useApp();
  const state = useStore(session.state);
  const [configuring, setConfiguring] = useState(false);
  const muted = session.me === undefined || view.participants[session.me]?.muted !== false;
  const connected = state.microphone === "on" && state.voice.at === "up";

  const press = () => {
    if (state.microphone === "off") {
      void app.attempt(async () => {
        await session.openMicrophone();
        app.say(text.announce.micOn);
      });
    } else if (connected) void app.attempt(() => session.setMuted(!muted));
  };

  const label =
    state.microphone === "off" ? text.room.micOpen
    : state.microphone === "asking" ? text.room.micAsking
    : !connected ? text.room.micConnecting
    : muted ? text.room.unmute
    : text.room.mute;
  const hint = !connected ? "" : !muted ? text.room.heard : state.mutedHint ? text.room.mutedHint : text.room.muted;

  return (
    <div class="mic">
      <button
        type="button"
        class={`mic-button ${connected && !muted ? "open" : "shut"}`}
        disabled={state.muting || (state.microphone !== "off" && !connected)}
        onClick={press}
      >
        <span class="mic-disc">
          <Level session={session} />
          {connected && !muted ? <Mic /> : <MicOff />}
        </span>
        <span class="mic-label">{label}</span>
      </button>
      {hint !== "" && <span class={state.mutedHint ? "mic-hint strong" : "mic-hint"}>{hint}</span>}
      <button type="button" class="round quiet mic-settings" aria-label={text.room.micSettings} title={text.room.micSettings} onClick={() => setConfiguring(true)}>
        <Sliders />
      </button>
      {configuring && <MicrophoneSettings session={session} close={() => setConfiguring(false)} />}
    </div>
  );
}

/** Level is the meter behind the button; it has its own store, so that the room is not drawn again for it. */
function Level({ session }: { session: Session }): JSX.Element {
  const { level } = useStore(session.level);
  return <span class="mic-level" style={{ transform: `scale(${(1 + level * 0.55).toFixed(2)})`, opacity: level > 0.05 ? 1 : 0 }} />;
}

/** MicrophoneSettings chooses the device and what the browser does to the voice. */
function MicrophoneSettings({ session, close }: { session: Session; close: () => void }): JSX.Element {
  const { settings } = useStore(session.state);
  const [devices, setDevices] = useState<MediaDeviceInfo[]>([]);
  const [busy, run] = useBusy();

  useEffect(() => {
    const list = () =>
      void navigator.mediaDevices
        ?.enumerateDevices()
        .then((all) => setDevices(all.filter((device) => device.kind === "audioinput" && device.deviceId !== "" && device.deviceId !== "default")))
        .catch(() => setDevices([]));
    list();
    navigator.mediaDevices?.addEventListener("devicechange", list);
    return () => navigator.mediaDevices?.removeEventListener("devicechange", list);
  }, []);

  const change = (next: typeof settings) => {
    keepSettings(next);
    void run(() => session.configure(next));
  };
  const filter = (of: keyof Filters, label: string, lead: string) => (
    <label class="check">
      <input
        type="checkbox"
        role="switch"
        checked={settings.filters[of]}
        disabled={busy}
        onChange={(event) => change({ ...settings, filters: { ...settings.filters, [of]: event.currentTarget.checked } })}
      />
      <span>
        {label}
        <small class="soft">{lead}</small>
      </span>
    </label>
  );

  return (
    <Dialog title={text.mic.title} close={close}>
      <div class="form">
        {devices.length > 0 && (
          <label class="field">
            <span>{text.mic.device}</span>
            <select value={settings.device} disabled={busy} onChange={(event) => change({ ...settings, device: event.currentTarget.value })}>
              <option value="">{text.mic.usual}</option>
              {devices.map((device) => (
                <option key={device.deviceId} value={device.deviceId}>
                  {device.label || text.mic.title}
                </option>
              ))}
            </select>
          </label>
        )}
        {filter("echo", text.mic.echo, text.mic.echoLead)}
        {filter("noise", text.mic.noise, text.mic.noiseLead)}
        {filter("gain", text.mic.gain, text.mic.gainLead)}
        <p class="soft">{text.mic.music}</p>
        <div class="actions">
          <button type="button" class="primary" onClick={close}>
            {text.mic.done}
          </button>
        </div>
      </div>
    </Dialog>
  );
}
