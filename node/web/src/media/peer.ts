import type { Api } from "../core/api.ts";
import type { Relay } from "../core/relays.ts";

/** Longest wait from the offer to the first encrypted packet. */
const connectMs = 10_000;
/** How long a connection may be "disconnected" before it is given up: ICE consent comes back by itself from a short hole. */
const disconnectedMs = 2_500;

/** The same where relays are there to be tried next: a network that lets nothing out says nothing either. */
const directMs = 4_000;

/** Relays that are in use, since there was no connection without. Nobody is taken round by a relay who need not be. */
let relays: Relay[] = [];

/** openPeer makes a connection as every use of it here needs it: one transport, whatever the number of tracks. */
export function openPeer(): RTCPeerConnection {
  return new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers: relays });
}

/**
 * negotiate offers the connection to a node's WHIP or WHEP endpoint for the room and answers the session's URL once media can flow. The
 * offer goes out without candidates: the node is ICE-lite, answers from one known address, and learns ours from the first
 * packet (RFC 8445 §7.3.1.3).
 */
export async function negotiate(options: {
  peer: RTCPeerConnection;
  api: Api;
  base: string; // of the node
  room: string;
  kind: "whip" | "whep";
  signal: AbortSignal;
  accepted: (session: string | null) => void;
}): Promise<void> {
  const { peer, api, base, room, kind, signal } = options;
  const limit = new AbortController();
  const abort = () => limit.abort(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  let timer = setTimeout(() => limit.abort(new Error("no connection in time")), connectMs);
  let offered: Relay[] = [];
  try {
    signal.throwIfAborted();
    await peer.setLocalDescription();
    const { answer, session, relays: told } = await api.offer(base, room, kind, peer.localDescription?.sdp ?? "", limit.signal);
    options.accepted(session);
    offered = told;
    if (offered.length > 0 && relays.length === 0) {
      clearTimeout(timer);
      timer = setTimeout(() => limit.abort(new Error("no direct connection in time")), directMs);
    }
    await peer.setRemoteDescription({ type: "answer", sdp: answer });
    await connected(peer, limit.signal);
    if (relays.length > 0) relays = offered; // with a fresh password, for the next time
  } catch (error) {
    if (!signal.aborted && offered.length > 0) relays = offered;
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  }
}

function connected(peer: RTCPeerConnection, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const look = () => {
      if (signal.aborted) done(() => reject(signal.reason));
      else if (peer.connectionState === "connected") done(resolve);
      else if (peer.connectionState === "failed" || peer.connectionState === "closed") done(() => reject(new Error("connection failed")));
    };
    const done = (settle: () => void) => {
      peer.removeEventListener("connectionstatechange", look);
      signal.removeEventListener("abort", look);
      settle();
    };
    peer.addEventListener("connectionstatechange", look);
    signal.addEventListener("abort", look);
    look();
  });
}

/** ended resolves when the connection is lost for good or signal aborts. */
export function ended(peer: RTCPeerConnection, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = () => {
      clearTimeout(timer);
      const state = peer.connectionState;
      if (signal.aborted || state === "failed" || state === "closed") done();
      else if (state === "disconnected") timer = setTimeout(done, disconnectedMs);
    };
    const done = () => {
      clearTimeout(timer);
      peer.removeEventListener("connectionstatechange", look);
      signal.removeEventListener("abort", look);
      resolve();
    };
    peer.addEventListener("connectionstatechange", look);
    signal.addEventListener("abort", look);
    look();
  });
}
