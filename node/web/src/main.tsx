import type { JSX } from "preact";
import { render } from "preact";
import { App } from "./app.ts";
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

const root = document.getElementById("app");
if (root) {
  render(
    <AppContext.Provider value={new App()}>
      <Page />
    </AppContext.Provider>,
    root,
  );
}
