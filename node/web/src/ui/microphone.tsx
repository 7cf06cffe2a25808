import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { View } from "../core/view.ts";
import type { Filters } from "../media/capture.ts";
import { MicrophoneTest } from "../media/capture.ts";
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
  const { push } = state.settings;
  const muted = session.me === undefined || view.participants[session.me]?.muted !== false || (push && !state.held);
  const connected = state.microphone === "on" && state.voice.at === "up";

  const press = () => {
    if (state.microphone === "off") {
      void app.attempt(async () => {
        await session.openMicrophone();
        app.say(text.announce.micOn);
      });
    } else if (connected && !push) void app.attempt(() => session.setMuted(!muted));
  };

  const label =
    state.microphone === "off" ? text.room.micOpen
    : state.microphone === "asking" ? text.room.micAsking
    : !connected ? text.room.micConnecting
    : push ? text.room.hold
    : muted ? text.room.unmute
    : text.room.mute;
  const hold = (held: boolean) => {
    if (connected && push && held !== session.state.value.held) void app.attempt(() => session.hold(held));
  };
  useKeys(connected, push ? hold : undefined, press);
  const hint = !connected ? "" : !muted ? text.room.heard : state.mutedHint ? text.room.mutedHint : text.room.muted;

  return (
    <div class="mic">
      <button
        type="button"
        class={`mic-button ${connected && !muted ? "open" : "shut"}`}
        disabled={(state.muting && !push) || (state.microphone !== "off" && !connected)}
        onClick={press}
        onPointerDown={() => hold(true)}
        onPointerUp={() => hold(false)}
        onPointerCancel={() => hold(false)}
        onPointerLeave={() => hold(false)}
        onContextMenu={(event) => push && event.preventDefault()}
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

/**
 * useKeys listens to the keys of a microphone that is on: M mutes and unmutes, the space bar is held to talk. Keys that mean something
 * where the focus is, in a field or on another button, are left alone.
 */
function useKeys(on: boolean, hold: ((held: boolean) => void) | undefined, toggle: () => void): void {
  const latest = useRef({ hold, toggle });
  latest.current = { hold, toggle };
  useLayoutEffect(() => {
    // not after the next picture: a key pressed as the button appears counts
    if (!on) return;
    const taken = (event: KeyboardEvent) =>
      event.ctrlKey || event.metaKey || event.altKey || (event.target as Element).closest("input, textarea, select, dialog, a, button:not(.mic-button)") !== null;
    const down = (event: KeyboardEvent) => {
      const { hold, toggle } = latest.current;
      if (event.repeat || taken(event)) {
        if (event.code === "Space" && hold && !taken(event)) event.preventDefault();
        return;
      }
      if (event.code === "Space" && hold) {
        event.preventDefault(); // the page would scroll, or the button be pressed
        hold(true);
      } else if (event.key.toLowerCase() === "m" && !hold) toggle();
    };
    const up = (event: KeyboardEvent) => {
      if (event.code !== "Space" || !latest.current.hold) return;
      if (!taken(event)) event.preventDefault();
      latest.current.hold(false);
    };
    const away = () => latest.current.hold?.(false); // the key is let go where this page cannot see it
    window.addEventListener("keydown", down);
    window.addEventListener("keyup", up);
    window.addEventListener("blur", away);
    return () => {
      window.removeEventListener("keydown", down);
      window.removeEventListener("keyup", up);
      window.removeEventListener("blur", away);
    };
  }, [on]);
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
  const [, run] = useBusy(); // nothing is disabled meanwhile: that would take the focus away

  useEffect(() => {
    const list = () =>
      void navigator.mediaDevices
        ?.enumerateDevices()
        .then((all) => setDevices(all.filter((device) => device.deviceId !== "" && device.deviceId !== "default")))
        .catch(() => setDevices([]));
    list();
    navigator.mediaDevices?.addEventListener("devicechange", list);
    return () => navigator.mediaDevices?.removeEventListener("devicechange", list);
  }, []);

  const change = (next: typeof settings) => {
    keepSettings(next);
    void run(() => session.configure(next));
  };
  const choice = (label: string, kind: MediaDeviceKind, of: "device" | "speaker") => {
    const offered = devices.filter((device) => device.kind === kind);
    return (
      offered.length > 0 && (
        <label class="field">
          <span>{label}</span>
          <select value={settings[of]} onChange={(event) => change({ ...settings, [of]: event.currentTarget.value })}>
            <option value="">{text.mic.usual}</option>
            {offered.map((device) => (
              <option key={device.deviceId} value={device.deviceId}>
                {device.label || label}
              </option>
            ))}
          </select>
        </label>
      )
    );
  };
  const filter = (of: keyof Filters, label: string, lead: string) => (
    <label class="check">
      <input
        type="checkbox"
        role="switch"
        checked={settings.filters[of]}
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
        {choice(text.mic.device, "audioinput", "device")}
        {"setSinkId" in HTMLMediaElement.prototype && choice(text.mic.speaker, "audiooutput", "speaker")}
        <Meter session={session} device={settings.device} filters={settings.filters} />
        {filter("echo", text.mic.echo, text.mic.echoLead)}
        {filter("noise", text.mic.noise, text.mic.noiseLead)}
        {filter("gain", text.mic.gain, text.mic.gainLead)}
        <p class="soft">{text.mic.music}</p>
        <label class="check">
          <input type="checkbox" role="switch" checked={settings.push} onChange={(event) => change({ ...settings, push: event.currentTarget.checked })} />
          <span>
            {text.mic.push}
            <small class="soft">{text.mic.pushLead}</small>
          </span>
        </label>
        <p class="soft fine">{text.mic.keys}</p>
        <div class="actions">
          <button type="button" class="primary" onClick={close}>
            {text.mic.done}
          </button>
        </div>
      </div>
    </Dialog>
  );
}

/**
 * Meter shows how loud the microphone is. Where it is not on yet it can be tried: nothing is sent, and the device is let go with
 * the sheet.
 */
function Meter({ session, device, filters }: { session: Session; device: string; filters: Filters }): JSX.Element {
  const app = useApp();
  const { microphone } = useStore(session.state);
  const own = useStore(session.level);
  const [trial, setTrial] = useState<MicrophoneTest | null>(null);
  const [level, setLevel] = useState(0);
  useEffect(() => {
    if (!trial) return;
    const timer = setInterval(() => setLevel(trial.level()), 60);
    return () => {
      clearInterval(timer);
      trial.close();
    };
  }, [trial]);
  useEffect(() => setTrial(null), [device, filters]); // another device is another try
  const shown = microphone === "on" ? own.level : level;
  return microphone === "on" || trial ? (
    <label class="field">
      <span>{text.mic.level}</span>
      <meter class="loudness" min={0} max={1} high={0.95} value={shown} />
    </label>
  ) : (
    <button type="button" class="plain" disabled={microphone === "asking"} onClick={() => void app.attempt(async () => setTrial(await MicrophoneTest.open(filters, device)))}>
      <Mic />
      {text.mic.test}
    </button>
  );
}
