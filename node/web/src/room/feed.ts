import type { Api, Edge } from "../core/api.ts";
import { EventParser } from "../core/sse.ts";
import type { Change, View } from "../core/view.ts";
import { asView, follow } from "../core/view.ts";
import type { Presence } from "../core/presence.ts";
import { presenceOf } from "../core/presence.ts";
import type { Attempt } from "./keeper.ts";

/** The node sends a comment every 15 seconds; after two that did not come the connection is dead, whatever TCP thinks. */
const silenceMs = 35_000;

/**
 * feed makes the attempt that follows a room: a snapshot first, then every change. It resumes after the last change it saw,
 * and starts over with a snapshot when one is missing.
 */
export function feed(options: {
  api: Api;
  room: string;
  /** Whom the node tells: some of a room is for one person only, and who is known is on the list of who is there. */
  reader?: () => string | undefined;
  show: (view: View, change: Change | null) => void;
  /** The node is being emptied and names others, the best first. */
  move: (bases: string[]) => void;
  /** Who is there and what they show: it comes a few times a second, and is in no log. */
  presence?: (presence: Presence) => void;
}): Attempt {
  let view: View | null = null;
  let lastId = "";
  let reader: string | undefined; // of the view
  let why: Change | null = null; // what the next snapshot shows was done to the reader without the log

  const take = (type: string, data: string) => {
    if (type === "snapshot") {
      view = asView(JSON.parse(data));
      options.show(view, why);
      why = null;
      return;
    }
    if (type === "reason") {
      why = JSON.parse(data) as Change;
      return;
    }
    if (type === "move") {
      const { edges } = JSON.parse(data) as { edges?: Edge[] };
      options.move((edges ?? []).map((edge) => edge.url));
      return;
    }
    if (type === "presence") {
      options.presence?.(presenceOf(JSON.parse(data)));
      return;
    }
    if (!view) return; // nothing to change: the node resumed a view that this page no longer has
    const change = JSON.parse(data) as Change;
    if (typeof change.seq !== "number") return; // ephemeral: it carries no place in the log
    const next = follow(view, change);
    if (!next) {
      lastId = "";
      throw new Error("a change of the room is missing");
    }
    if (next === view) return;
    view = next;
    options.show(view, change);
  };

  return async (opened, signal) => {
    const silence = new AbortController();
    let watchdog = setTimeout(() => silence.abort(), silenceMs);
    const end = () => silence.abort();
    signal.addEventListener("abort", end, { once: true });
    try {
      const me = options.reader?.();
      if (me !== reader) lastId = ""; // another person's view begins with a snapshot
      reader = me;
      const response = await options.api.events(options.room, view ? lastId : "", silence.signal);
      const bytes = response.body!.getReader();
      const decoder = new TextDecoder();
      const parser = new EventParser();
      parser.lastId = lastId;
      opened();
      for (;;) {
        const { done, value } = await bytes.read();
        if (done) return;
        clearTimeout(watchdog);
        watchdog = setTimeout(() => silence.abort(), silenceMs);
        for (const event of parser.push(decoder.decode(value, { stream: true }))) {
          lastId = event.id;
          take(event.type, event.data);
        }
      }
    } finally {
      clearTimeout(watchdog);
      signal.removeEventListener("abort", end);
      silence.abort();
    }
  };
}
