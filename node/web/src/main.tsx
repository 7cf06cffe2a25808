import type { JSX } from "preact";
import { render } from "preact";
import { App } from "./app.ts";
import { speak, wanted } from "./text/text.ts";
import { AppContext, useApp, useStore } from "./ui/hooks.ts";
import { Lobby } from "./ui/lobby.tsx";
import { Notes } from "./ui/notes.tsx";
import { Room } from "./ui/room.tsx";

/** Page chooses the screen, and owns the one live region that every screen shares. */
function Page(): JSX.Element {
  const app = useApp();
  const { place, announcement } = useStore(app.state);
  return (
    <>
      {place.room === null ? <Lobby /> : <Room key={place.room} room={place.room} />}
      <Notes />
      <p class="hidden" role="status" aria-live="polite">
        {announcement}
      </p>
    </>
  );
}

/** Begins in the person's language, or in English where its messages do not come: a page with the wrong words is better than none. */
async function begin(root: HTMLElement): Promise<void> {
  await speak(wanted()).catch(() => speak("en"));
  render(
    <AppContext.Provider value={new App()}>
      <Page />
    </AppContext.Provider>,
    root,
  );
}

const root = document.getElementById("app");
if (root) void begin(root);
