/**
 * Line is the life of one connection to a node: the room's feed, the sound, the microphone. The shells around sockets and
 * peer connections feed it; it decides what is shown and when to try again.
 */
export type Line =
  | { at: "off" } // not wanted
  | { at: "connecting"; attempt: number } // attempt 0 is the first time
  | { at: "up" }
  | { at: "waiting"; attempt: number; until: number } // lost; tries again at `until` (milliseconds, caller's clock)
  | { at: "refused"; status: number }; // the node said no, and asking again would not help

export type LineEvent =
  | { is: "wanted" }
  | { is: "unwanted" }
  | { is: "opened" }
  | { is: "lost"; now: number; delay: number }
  | { is: "due" } // the wait is over, or there is a reason not to wait (the network came back)
  | { is: "refused"; status: number };

export const off: Line = { at: "off" };

/** advance is the next state. An event that means nothing in a state leaves it as it is. */
export function advance(line: Line, event: LineEvent): Line {
  if (event.is === "unwanted") return off;
  switch (line.at) {
    case "off":
    case "refused":
      return event.is === "wanted" ? { at: "connecting", attempt: 0 } : line;
    case "connecting":
      if (event.is === "opened") return { at: "up" };
      if (event.is === "refused") return { at: "refused", status: event.status };
      if (event.is === "lost") return { at: "waiting", attempt: line.attempt + 1, until: event.now + event.delay };
      return line;
    case "up":
      if (event.is === "lost") return { at: "waiting", attempt: 1, until: event.now + event.delay };
      if (event.is === "refused") return { at: "refused", status: event.status };
      return line;
    case "waiting":
      return event.is === "due" ? { at: "connecting", attempt: line.attempt } : line;
  }
}

/** attempts counts the tries since the line was last up. */
export function attempts(line: Line): number {
  return line.at === "connecting" || line.at === "waiting" ? line.attempt : 0;
}

/** Phase is what a person is told about the connection: one calm word for several lines. */
export type Phase = "preview" | "connecting" | "live" | "reconnecting" | "ended";

/**
 * phaseOf folds the lines into one word. A room that has ended is not a fault, and a feed that is being looked up again does
 * not matter until it has failed twice: the sound is what people came for.
 */
export function phaseOf(lines: { feed: Line; sound: Line; ended: boolean }): Phase {
  const { feed, sound, ended } = lines;
  if (ended) return "ended";
  switch (sound.at) {
    case "off":
      return attempts(feed) > 1 ? "reconnecting" : "preview";
    case "connecting":
      return sound.attempt === 0 ? "connecting" : "reconnecting";
    case "up":
      return attempts(feed) > 1 ? "reconnecting" : "live";
    case "waiting":
    case "refused":
      return "reconnecting";
  }
}
