// The page of off-the-shelf WHEP clients: each plays the room as its own documentation says, in the page's one audio element.
import { WebRTCPlayer } from "@eyevinn/webrtc-player";
import { WHEPClient } from "whip-whep/whep.js";

const { client, whep, token } = Object.fromEntries(new URLSearchParams(location.search));
const element = document.querySelector("audio");

const clients = {
  "whip-whep"() {
    const pc = new RTCPeerConnection();
    pc.addTransceiver("audio");
    pc.ontrack = (event) => { element.srcObject = event.streams[0]; };
    return new WHEPClient().view(pc, whep, token);
  },
  // Its default is to ask for video too.
  "webrtc-player"() {
    const player = new WebRTCPlayer({ video: element, type: "whep", iceServers: [] });
    return player.load(new URL(whep), `Bearer ${token}`);
  },
};

// whip-whep trickles its candidates without the If-Match that RFC 9725 §4.3.1 asks for. The server, which needs none of them,
// refuses (428); the client then throws where nobody can catch it, and plays all the same.
addEventListener("unhandledrejection", (event) => {
  if (client === "whip-whep" && String(event.reason).includes("428")) event.preventDefault();
});

document.querySelector("button").onclick = async () => {
  document.body.append(client, " starts ");
  try {
    await clients[client]();
    await element.play();
    document.body.append(client, " plays");
  } catch (error) {
    document.body.append(`${client} fails: ${error}`);
  }
};
