import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Present } from "../core/room-api.ts";
import type { Session } from "../room/session.ts";
import { text } from "../text/text.ts";
import { Avatar } from "./avatar.tsx";
import { Dialog } from "./dialog.tsx";
import { useApp } from "./hooks.ts";

/** How long after the last key the list is searched: the whole mesh is asked. */
const searchMs = 300;

/** PeopleSheet is everybody who is in the room and does not hide, in pages, and a search among them. */
export function PeopleSheet({ session, choose, close }: { session: Session; choose: (person: { user: string; name: string }) => void; close: () => void }): JSX.Element {
  const app = useApp();
  const [search, setSearch] = useState("");
  const [list, setList] = useState<{ people: Present[]; next: string; complete: boolean } | null>(null);
  const load = async (cursor: string, before: Present[], wanted: () => boolean) => {
    await app.attempt(async () => {
      const page = await session.room.participants(search.trim(), cursor);
      if (wanted()) setList({ ...page, people: [...before, ...page.people] });
    });
  };
  useEffect(() => {
    let here = true;
    const timer = setTimeout(() => void load("", [], () => here), list === null ? 0 : searchMs);
    return () => {
      here = false;
      clearTimeout(timer);
    };
  }, [search]);
  return (
    <Dialog title={text.people.title} close={close}>
      <label class="field">
        <span>{text.people.search}</span>
        <input type="search" value={search} maxLength={64} onInput={(event) => setSearch(event.currentTarget.value)} />
      </label>
      <ul class="roster">
        {list?.people.map((person) => (
          <li key={person.user}>
            <button type="button" class="row-button" onClick={() => choose(person)}>
              <Avatar user={person.user} name={person.name} picture={person.avatar ?? ""} />
              <span class="row-words">
                <bdi class="row-name">{person.name}</bdi>
                <bdi class="soft fine">{person.bio || text.roles[person.role]}</bdi>
              </span>
            </button>
          </li>
        ))}
      </ul>
      {list?.people.length === 0 && <p class="soft">{text.people.none}</p>}
      {list && !list.complete && <p class="soft fine">{text.people.incomplete}</p>}
      {list && list.next !== "" && (
        <button type="button" class="plain" onClick={() => void load(list.next, list.people, () => true)}>
          {text.lobby.more}
        </button>
      )}
    </Dialog>
  );
}
