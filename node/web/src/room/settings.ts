import type { Filters } from "../media/capture.ts";

const key = "rotunda.microphone";

/** How a person likes to speak and to hear. */
export interface Settings {
  filters: Filters;
  device: string; // deviceId of the microphone; "" is the browser's choice
  speaker: string; // deviceId of the loudspeaker; "" likewise
  push: boolean; // open only while a key or the button is held
}

const usual: Settings = { filters: { echo: true, noise: true, gain: true }, device: "", speaker: "", push: false };
const none: Filters = { echo: false, noise: false, gain: false };

/** loadSettings answers what was kept; `raw` is a link's wish to have no filter at all, for this visit. */
export function loadSettings(raw: boolean): Settings {
  const kept = read();
  return raw ? { ...kept, filters: none } : kept;
}

/** keepSettings remembers settings on this device. */
export function keepSettings(settings: Settings): void {
  try {
    localStorage.setItem(key, JSON.stringify(settings));
  } catch {
    // they last as long as the page
  }
}

function read(): Settings {
  try {
    const value = JSON.parse(localStorage.getItem(key) ?? "null") as Partial<Settings> | null;
    const flag = (of: keyof Filters) => value?.filters?.[of] !== false;
    return {
      filters: { echo: flag("echo"), noise: flag("noise"), gain: flag("gain") },
      device: typeof value?.device === "string" ? value.device : "",
      speaker: typeof value?.speaker === "string" ? value.speaker : "",
      push: value?.push === true,
    };
  } catch {
    return usual;
  }
}
