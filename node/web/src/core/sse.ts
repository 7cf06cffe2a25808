/** One dispatched server-sent event. `id` is the last id seen on the stream, as the standard has it. */
export interface ServerEvent {
  type: string;
  id: string;
  data: string;
}

/** Longest line and event that are kept. A room's snapshot is a few hundred kilobytes at the most. */
const sizeMax = 4 * 1024 * 1024;

/**
 * EventParser reads a text/event-stream (HTML standard §9.2.6) in chunks of any size. It exists because EventSource can
 * neither send a token nor be told to resume after an id that another connection saw.
 */
export class EventParser {
  lastId = "";
  /** Milliseconds the server asks clients to wait before they reconnect; undefined until it says so. */
  retry: number | undefined;

  #rest = "";
  #afterCarriageReturn = false;
  #started = false;
  #type = "";
  #data: string[] = [];
  #size = 0;

  /** push takes the next chunk and returns the events that it completes. It throws RangeError on a stream without end of line. */
  push(chunk: string): ServerEvent[] {
    if (!this.#started && chunk !== "") {
      this.#started = true;
      if (chunk.startsWith("\uFEFF")) chunk = chunk.slice(1);
    }
    if (this.#afterCarriageReturn && chunk !== "") {
      this.#afterCarriageReturn = false;
      if (chunk.startsWith("\n")) chunk = chunk.slice(1); // the second half of a CR LF that was cut in two
    }
    if (chunk.endsWith("\r")) this.#afterCarriageReturn = true;
    const lines = (this.#rest + chunk).split(/\r\n|\n|\r/);
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > sizeMax) throw new RangeError("event stream: line too long");

    const events: ServerEvent[] = [];
    for (const line of lines) {
      const event = line === "" ? this.#dispatch() : this.#field(line);
      if (event) events.push(event);
    }
    return events;
  }

  #field(line: string): undefined {
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment, which is how the server says that it is alive
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    switch (name) {
      case "event":
        this.#type = value;
        break;
      case "data":
        this.#size += value.length;
        if (this.#size > sizeMax) throw new RangeError("event stream: event too long");
        this.#data.push(value);
        break;
      case "id":
        if (!value.includes("\0")) this.lastId = value;
        break;
      case "retry":
        if (/^\d+$/.test(value)) this.retry = Number(value);
        break;
    }
  }

  #dispatch(): ServerEvent | undefined {
    const data = this.#data.join("\n");
    const type = this.#type || "message";
    const empty = this.#data.length === 0;
    this.#data = [];
    this.#type = "";
    this.#size = 0;
    return empty ? undefined : { type, id: this.lastId, data };
  }
}
