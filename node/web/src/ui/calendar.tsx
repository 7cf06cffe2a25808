import type { JSX } from "preact";
import { calendarOf } from "../core/calendar.ts";
import { linkOf } from "../core/place.ts";
import { text } from "../text/text.ts";
import { Calendar } from "./icons.tsx";

/** A room that is to come, as far as a calendar has to know it. */
interface Coming {
  id: string;
  title: string;
  startsAt: string | null;
  seq: number;
  description: string;
}

/** CalendarLink puts a room into the person's own calendar, which then reminds them. */
export function CalendarLink({ room }: { room: Coming }): JSX.Element | null {
  const { startsAt } = room;
  if (startsAt === null || Number.isNaN(Date.parse(startsAt))) return null;
  const save = () => {
    const file = calendarOf({ ...room, startsAt, url: linkOf(location.origin, room.id) }, Date.now());
    const url = URL.createObjectURL(new Blob([file], { type: "text/calendar;charset=utf-8" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = `rotunda-${room.id}.ics`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000); // the download has begun by then
  };
  return (
    <button type="button" class="plain" onClick={save}>
      <Calendar />
      {text.lobby.calendar}
    </button>
  );
}
