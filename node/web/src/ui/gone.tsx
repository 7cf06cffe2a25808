import type { ComponentChildren, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { text } from "../text/text.ts";
import { Dome } from "./dome.tsx";
import { useApp } from "./hooks.ts";

/** Farewell is the screen where there is no room to be in: ended, unknown, removed. */
export function Farewell({ title, lead, reason = "", children }: { title: string; lead: string; reason?: string; children?: ComponentChildren }): JSX.Element {
  const app = useApp();
  useEffect(() => app.clear(), []);
  return (
    <main class="farewell">
      <Dome />
      <div class="farewell-words">
        <h1>{title}</h1>
        <p class="soft">{lead}</p>
        {reason !== "" && <p class="about">{text.gone.reason({ reason })}</p>}
        <div class="actions centred">
          {children}
          <button type="button" class={children ? "plain" : "primary"} onClick={() => app.go("/")}>
            {text.gone.lobby}
          </button>
        </div>
      </div>
    </main>
  );
}
