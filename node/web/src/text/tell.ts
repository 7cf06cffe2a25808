import type { News } from "../core/news.ts";
import { span, text } from "./text.ts";

/** tell says what happened in a room. */
export function tell(news: News): string {
  const say = text.news;
  switch (news.is) {
    case "raised":
      return say.raised({ name: news.name });
    case "on-stage":
      return say.onStage({ name: news.name });
    case "off-stage":
      return say.offStage({ name: news.name });
    case "you-on-stage":
      return say.youOnStage;
    case "you-off-stage":
      return say.youOffStage;
    case "you-denied":
      return news.reason === "" ? say.youDenied : say.youDeniedFor({ reason: news.reason });
    case "you-muted":
      return news.reason === "" ? say.youMuted : say.youMutedFor({ reason: news.reason });
    case "you-invited":
      return say.youInvited;
    case "you-role":
      return say.youRole({ role: text.roles[news.role] });
    case "you-warned":
      return say.youWarned({ reason: news.reason });
    case "warned":
      return say.warned({ name: news.name, reason: news.reason });
    case "your-turn":
      return say.yourTurn({ time: span(news.seconds) });
    case "your-turn-ends":
      return say.yourTurnEnds;
    case "pin-proposed":
      return say.pinProposed({ name: news.name });
    case "started":
      return say.started;
    case "locked":
      return say.locked;
    case "unlocked":
      return say.unlocked;
    case "refreshed":
      return say.refreshed({ title: news.title });
    case "retitled":
      return say.retitled({ title: news.title });
    case "ended":
      return say.ended;
  }
}
