/** What a calendar has to know of a room that is to come. */
export interface Appointment {
  id: string;
  title: string;
  description: string;
  url: string;
  startsAt: string;
  seq: number; // the room's, which grows with every change
}

/** How long a room is taken to last, since nobody says: an hour. */
const hour = 3_600_000;

/**
 * calendarOf is an iCalendar file (RFC 5545). The same room has the same UID for ever and its changes a higher SEQUENCE, so that a
 * calendar that has it moves it instead of adding another. The reminder comes ten minutes before.
 */
export function calendarOf(appointment: Appointment, now: number): string {
  const start = Date.parse(appointment.startsAt);
  const lines = [
    "BEGIN:VCALENDAR",
    "VERSION:2.0",
    "PRODID:-//Rotunda//Rooms//EN",
    "METHOD:PUBLISH",
    "BEGIN:VEVENT",
    `UID:${appointment.id}@rotunda`,
    `SEQUENCE:${Math.max(0, Math.floor(appointment.seq))}`,
    `DTSTAMP:${stamp(now)}`,
    `DTSTART:${stamp(start)}`,
    `DTEND:${stamp(start + hour)}`,
    `SUMMARY:${escaped(appointment.title)}`,
    `DESCRIPTION:${escaped([appointment.description, appointment.url].filter(Boolean).join("\n\n"))}`,
    `URL:${appointment.url}`,
    "BEGIN:VALARM",
    "ACTION:DISPLAY",
    `DESCRIPTION:${escaped(appointment.title)}`,
    "TRIGGER:-PT10M",
    "END:VALARM",
    "END:VEVENT",
    "END:VCALENDAR",
  ];
  return lines.map(folded).join("\r\n") + "\r\n";
}

function stamp(time: number): string {
  return new Date(time).toISOString().replaceAll(/[-:]|\.\d+/g, "");
}

/** escaped is a TEXT value (RFC 5545 §3.3.11): no line of somebody's title becomes a line of the file. */
function escaped(text: string): string {
  return text
    .replaceAll(/[\\;,]/g, (sign) => `\\${sign}`)
    .replaceAll(/\r\n|\n|\r/g, "\\n")
    .replaceAll(/\p{Cc}/gu, "");
}

/** folded breaks a line after at most 75 octets, between characters (§3.1). */
function folded(line: string): string {
  const encoder = new TextEncoder();
  let out = "";
  let octets = 0;
  for (const character of line) {
    const size = encoder.encode(character).length;
    if (octets + size > 75) {
      out += "\r\n ";
      octets = 1;
    }
    out += character;
    octets += size;
  }
  return out;
}
