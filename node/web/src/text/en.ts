import type { News } from "../core/news.ts";
import type { Phase } from "../core/line.ts";
import type { Role } from "../core/view.ts";

/** Everything the client says, in English. Another language is another file of the same type. */
export const en = {
  product: "Rotunda",

  lobby: {
    title: "Rotunda: live rooms",
    headline: "Step inside. Somebody is talking.",
    lead: "Live audio rooms, heard on the node nearest to you. Nothing to install and no account: one tap and you are in.",
    live: "Live now",
    empty: "It is quiet under the dome",
    emptyLead: "No room is live right now. Open one, share its link, and people can listen from anywhere.",
    create: "Start a room",
    refresh: "Look again",
    unreachable: "The list of rooms could not be loaded.",
    with: (host: string, others: number) => (others <= 0 ? host : others === 1 ? `${host} and 1 other on stage` : `${host} and ${others} others on stage`),
    since: (ago: string) => `started ${ago}`,
    hello: (name: string) => `You are ${name}`,
  },

  create: {
    title: "Start a room",
    lead: "You will be its host. Your microphone stays off until you turn it on.",
    name: "What is it about?",
    namePlaceholder: "An evening with old radios",
    description: "A line or two for people who look in (optional)",
    submit: "Open the room",
    cancel: "Not now",
  },

  name: {
    label: "Your name",
    placeholder: "As the room will see it",
    as: (name: string) => `Joining as ${name}`,
    change: "Change",
  },

  room: {
    back: "All rooms",
    share: "Share",
    copied: "The room's link is copied.",
    hostedBy: (host: string) => `Hosted by ${host}`,
    stage: "On stage",
    dock: "What you can do",
    self: (role: string) => `${role} · you`,
    listen: "Start listening",
    enter: "Go on stage",
    noMicrophoneYet: "Sound only. Your microphone is not used.",
    loading: "Opening the room…",
    tap: "Tap to hear the room",
    blocked: "Your browser wants one more tap before it plays sound.",
    ask: "Ask to speak",
    closed: "The host takes no requests now.",
    withdraw: "Take hand down",
    waiting: (place: number) => (place === 1 ? "Your hand is up. You are next." : `Your hand is up. You are number ${place}.`),
    leave: "Leave",
    stepDown: "Step down",
    micOpen: "Turn on microphone",
    micAsking: "Allow the microphone…",
    micConnecting: "Connecting microphone…",
    mute: "Mute",
    unmute: "Unmute",
    heard: "You are heard",
    muted: "You are muted",
    mutedHint: "You are talking, but you are muted.",
    micSettings: "Microphone settings",
    end: "End room",
    endTitle: "End the room for everybody?",
    endLead: "Everybody is sent home. This cannot be undone.",
    endConfirm: "End it",
    keep: "Keep it open",
  },

  queue: {
    title: "Asking to speak",
    none: "Nobody is asking to speak.",
    approve: (name: string) => `Let ${name} speak`,
    deny: (name: string) => `Decline ${name}`,
    approveShort: "Let in",
    denyShort: "Decline",
  },

  person: {
    open: (name: string, role: string, state: string) => [name, role, state].filter(Boolean).join(", "),
    mute: "Mute",
    toListeners: "Move to listeners",
    remove: "Remove from the room",
    ban: "and keep out for good",
    close: "Close",
    muted: "muted",
    off: "microphone off",
  },

  mic: {
    title: "Microphone",
    device: "Device",
    usual: "The browser's choice",
    echo: "Echo cancellation",
    echoLead: "So that nobody hears themselves from your speakers.",
    noise: "Noise suppression",
    noiseLead: "Fans and keyboards stay outside.",
    gain: "Steady loudness",
    gainLead: "Quiet and loud voices come out alike.",
    music: "For music, switch all three off.",
    done: "Done",
    denied: "The browser does not let this page use the microphone. Allow it in the page's settings and try again.",
    none: "No microphone was found.",
    busy: "The microphone is in use by another program.",
    unsupported: "This browser gives the microphone to secure pages only (https).",
  },

  gone: {
    unknown: "There is no such room",
    unknownLead: "The link may be mistyped, or the room was never here.",
    removed: "You were removed from this room",
    removedLead: "A host took you out. You may come back to listen.",
    again: "Come back to listen",
    banned: "You cannot come back to this room",
    bannedLead: "A host has removed you for good.",
    ended: "This room has ended",
    endedLead: "Thank you for being here.",
    lobby: "See what is live",
  },

  roles: { host: "Host", cohost: "Co-host", speaker: "Speaker", listener: "Listener" } satisfies Record<Role, string>,

  phases: {
    preview: "Live",
    connecting: "Connecting…",
    live: "Listening",
    reconnecting: "Reconnecting…",
    ended: "Ended",
  } satisfies Record<Phase, string>,

  announce: {
    live: "You are listening.",
    reconnecting: "The connection is lost. Reconnecting.",
    back: "Connected again.",
    left: "You have left the room.",
    micOn: "Your microphone is on and muted.",
  },

  news(news: News): string {
    switch (news.is) {
      case "raised":
        return `${news.name} asks to speak.`;
      case "on-stage":
        return `${news.name} is on stage.`;
      case "off-stage":
        return `${news.name} left the stage.`;
      case "you-on-stage":
        return "You are on stage. Turn on your microphone when you are ready.";
      case "you-off-stage":
        return "You are listening again.";
      case "you-denied":
        return "Your request to speak was declined.";
      case "you-muted":
        return "You were muted by a host.";
      case "retitled":
        return `The room is now called “${news.title}”.`;
      case "ended":
        return "The room has ended.";
    }
  },

  notes: "Notes",

  trouble: {
    network: "The node cannot be reached. Check your connection and try again.",
    slow: "The node takes too long to answer. Try again.",
    unknown: "That did not work. Try again.",
    name: "Your visit has expired. Say your name again.",
  },
};

export type Text = typeof en;
