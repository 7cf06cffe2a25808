import type { Filters } from "../media/microphone.ts";

const key = "rotunda.microphone";

/** How a person likes their microphone. */
export interface Settings {
  filters: Filters;
  device: string; // deviceId; "" is the browser's choice
}

const usual: Settings = { filters: { echo: true, noise: true, gain: true }, device: "" };
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
    };
  } catch {
    return usual;
  }
}
