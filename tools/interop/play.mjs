// node play.mjs STACK WHEP_URL TOKEN SECONDS: plays a room with a WebRTC stack that is not ours, by the least that a WHEP client
// has to do, and prints what it heard as JSON: {packets, payloads} with the first Opus payloads in base64, or, where the
// stack decodes itself, {packets, level}, the root mean square of the loudest second of samples.
const [stack, url, token, seconds] = process.argv.slice(2);

const KEPT = 150; // payloads: three seconds

// post opens the session with an offer and answers with the server's answer and a way to leave.
async function post(sdp) {
  const headers = { Authorization: `Bearer ${token}` };
  const answer = await fetch(url, { method: "POST", headers: { ...headers, "Content-Type": "application/sdp" }, body: sdp });
  if (answer.status !== 201) throw new Error(`POST: ${answer.status} ${await answer.text()}`);
  const session = new URL(answer.headers.get("Location"), url);
  return { sdp: await answer.text(), leave: () => fetch(session, { method: "DELETE", headers }) };
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// payloadOf takes the payload out of an RTP packet (RFC 3550 §5.1).
function payloadOf(packet) {
  let at = 12 + 4 * (packet[0] & 15);
  if (packet[0] & 16) at += 4 + 4 * packet.readUInt16BE(at + 2);
  return packet.subarray(at);
}

const stacks = {
  async werift() {
    const { RTCPeerConnection, RTCRtpCodecParameters } = await import("werift");
    const opus = new RTCRtpCodecParameters({ mimeType: "audio/opus", clockRate: 48000, channels: 2, payloadType: 96 });
    const pc = new RTCPeerConnection({ codecs: { audio: [opus] }, iceServers: [] });
    const heard = { packets: 0, payloads: [] };
    pc.onTrack.subscribe((track) => {
      track.onReceiveRtp.subscribe((packet) => {
        heard.packets++;
        if (heard.payloads.length < KEPT) heard.payloads.push(packet.payload.toString("base64"));
      });
    });
    pc.addTransceiver("audio", { direction: "recvonly" });
    await pc.setLocalDescription(await pc.createOffer());
    const { sdp, leave } = await post(pc.localDescription.sdp);
    await pc.setRemoteDescription({ type: "answer", sdp });
    await pause(seconds * 1000);
    await leave();
    await pc.close();
    return heard;
  },

  async "node-datachannel"() { // libdatachannel: libjuice, usrsctp, libsrtp, OpenSSL or Mbed TLS
    const { default: datachannel } = await import("node-datachannel");
    const pc = new datachannel.PeerConnection("listener", { iceServers: [], disableAutoNegotiation: true });
    const audio = new datachannel.Audio("0", "RecvOnly");
    audio.addOpusCodec(111);
    const track = pc.addTrack(audio);
    track.setMediaHandler(new datachannel.RtcpReceivingSession());
    const heard = { packets: 0, payloads: [] };
    track.onMessage((packet) => {
      if (packet.length < 13 || (packet[1] >= 192 && packet[1] <= 223)) return; // RTCP (RFC 5761)
      heard.packets++;
      if (heard.payloads.length < KEPT) heard.payloads.push(payloadOf(packet).toString("base64"));
    });
    const gathered = new Promise((done) => pc.onGatheringStateChange((state) => state === "complete" && done()));
    pc.setLocalDescription("offer");
    await gathered;
    const { sdp, leave } = await post(pc.localDescription().sdp);
    pc.setRemoteDescription(sdp, "answer");
    await pause(seconds * 1000);
    await leave();
    pc.close();
    datachannel.cleanup();
    return heard;
  },

  async wrtc() { // libwebrtc, as of some years ago
    const { default: wrtc } = await import("@roamhq/wrtc");
    const pc = new wrtc.RTCPeerConnection({ iceServers: [] });
    const heard = { packets: 0, level: 0 };
    let sink, sum = 0, samples = 0;
    pc.ontrack = ({ track }) => {
      sink = new wrtc.nonstandard.RTCAudioSink(track);
      sink.ondata = (data) => {
        for (const x of data.samples) sum += (x / 32768) ** 2;
        if ((samples += data.samples.length) >= data.sampleRate * data.channelCount) {
          heard.level = Math.max(heard.level, Math.sqrt(sum / samples));
          sum = samples = 0;
        }
      };
    };
    pc.addTransceiver("audio", { direction: "recvonly" });
    await pc.setLocalDescription(await pc.createOffer());
    const { sdp, leave } = await post(pc.localDescription.sdp);
    await pc.setRemoteDescription({ type: "answer", sdp });
    await pause(seconds * 1000);
    for (const report of (await pc.getStats()).values()) {
      if (report.type === "inbound-rtp") heard.packets += report.packetsReceived;
    }
    await leave();
    sink?.stop();
    pc.close();
    return heard;
  },
};

try {
  console.log(JSON.stringify(await stacks[stack]()));
  process.exit(0); // some of the stacks keep a thread
} catch (error) {
  console.error(error);
  process.exit(1);
}
