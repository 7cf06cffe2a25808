import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Emoji } from "../core/presence.ts";
import { burst, emojis } from "../core/presence.ts";
import type { Session } from "../room/session.ts";
import { text } from "../text/text.ts";
import { useApp, useStore } from "./hooks.ts";
import { Smile } from "./icons.tsx";

/** What a reaction is called, for those who do not see it. */
export function emojiName(emoji: Emoji): string {
  const names = { "👏": "applause", "❤️": "love", "😂": "laughter", "😮": "surprise", "👍": "agree", "👎": "disagree", "🎉": "party", "💯": "hundred" } as const;
  return text.reactions[names[emoji]];
}

/** React is a button that opens the small set. It stays open: who claps, claps again. */
export function React({ session }: { session: Session }): JSX.Element {
  const app = useApp();
  const [open, setOpen] = useState(false);
  return (
    <div class="react">
      {open && (
        <div class="reactions" role="group" aria-label={text.reactions.title}>
          {emojis.map((emoji) => (
            <button key={emoji} type="button" class="round quiet emoji" aria-label={emojiName(emoji)} onClick={() => void app.attempt(() => session.room.react(emoji))}>
              {emoji}
            </button>
          ))}
        </div>
      )}
      <button type="button" class="link" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Smile />
        {text.reactions.title}
      </button>
    </div>
  );
}

/** How long one sign floats, as the style has it. */
const floatMs = 2_400;
/** Most signs in the air. */
const airMax = 24;

interface Sign {
  id: number;
  emoji: Emoji;
  lane: number; // 0…9: where it rises
}

/**
 * Floats lets what people show rise past the stage, and counts it. It is for the eye only: a screen reader that said every
 * clap would talk over the room.
 */
export function Floats({ session }: { session: Session }): JSX.Element {
  const { reactions } = useStore(session.presence);
  const [air, setAir] = useState<readonly Sign[]>([]);
  const before = useRef(reactions);
  const next = useRef(0);
  useEffect(() => {
    const rising = burst(before.current, reactions).map((emoji) => ({ id: ++next.current, emoji, lane: (next.current * 7) % 10 }));
    before.current = reactions;
    if (rising.length === 0) return;
    setAir((now) => [...now, ...rising].slice(-airMax));
    const ids = new Set(rising.map(({ id }) => id));
    setTimeout(() => setAir((now) => now.filter(({ id }) => !ids.has(id))), floatMs);
  }, [reactions]);
  const counted = emojis.filter((emoji) => (reactions[emoji] ?? 0) > 0);
  return (
    <div class="floats" aria-hidden="true">
      {air.map(({ id, emoji, lane }) => (
        <span key={id} class={`float lane-${lane}`}>
          {emoji}
        </span>
      ))}
      {counted.length > 0 && (
        <p class="tally">
          {counted.map((emoji) => (
            <span key={emoji}>
              {emoji} {reactions[emoji]}
            </span>
          ))}
        </p>
      )}
    </div>
  );
}
