// A call as the tests see it, whichever library carries it: plain state for
// the report, ears and eyes on what is received.

import { tap } from '../../phone/src/media.js';

const quiet = -80; // dBFS in the bin of a tone that is not there
const loud = -45;

let count = 0;

export class Call {
  constructor(direction, peer) {
    this.id = ++count;
    this.direction = direction;
    this.peer = peer;
    this.state = 'new'; // new, ringing, up, ended
    this.end = null; // { by, status, cause, reason }
    this.provisional = []; // status codes seen
    this.dtmf = [];
    this.remoteHold = false;
    this.reinvites = 0;
    this.transfer = null; // last status of a REFER of ours
    this.ears = null;
    this.videos = [];
    this.silence = 0;
  }

  // snapshot is what crosses over to the test.
  snapshot() {
    const { id, direction, peer, state, end, provisional, dtmf, remoteHold, reinvites, transfer } = this;
    return { id, direction, peer, state, end, provisional, dtmf, remoteHold, reinvites, transfer };
  }

  // watch follows a peer connection: what it receives is listened to.
  watch(pc) {
    this.pc = pc;
    pc.addEventListener('track', ({ track }) => {
      if (track.kind === 'audio') this.listen(track);
      else this.look(track);
    });
  }

  // widen adds video sections to the offer that is to come, for a long SDP.
  widen(extra) {
    for (let i = 0; i < extra; i++) this.pc.addTransceiver('video', { direction: 'recvonly' });
  }

  listen(track) {
    this.ears?.close();
    this.ears = tap(new MediaStream([track]), { fftSize: 4096, smoothingTimeConstant: 0 });
  }

  // look shows each video that is offered; not all need to carry a picture.
  look(track) {
    const video = Object.assign(document.createElement('video'), { muted: true, autoplay: true });
    video.srcObject = new MediaStream([track]);
    document.body.append(video);
    video.play().catch(() => {});
    this.videos.push(video);
  }

  // spectrum is [level at hz, median level], both in dBFS.
  spectrum(hz) {
    if (!this.ears) return [-Infinity, -Infinity];
    const { analyser } = this.ears;
    const bins = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(bins);
    const width = analyser.context.sampleRate / analyser.fftSize;
    const at = Math.round(hz / width);
    const peak = Math.max(...bins.subarray(at - 1, at + 2));
    return [peak, bins.toSorted()[bins.length >> 1]];
  }

  // hears: the tone is there, far above everything else.
  hears(hz) {
    const [peak, median] = this.spectrum(hz);
    return peak > loud && peak > median + 30;
  }

  // deaf: the tone has been gone for as many looks in a row.
  deaf(hz, looks) {
    if (!this.ears) return false;
    const [peak] = this.spectrum(hz);
    this.silence = peak < quiet ? this.silence + 1 : 0;
    return this.silence >= looks;
  }

  // picture is a checksum of the frame on show; it changes while video runs.
  picture() {
    const video = this.videos.find((v) => v.videoWidth > 0);
    if (!video) return null;
    const canvas = new OffscreenCanvas(64, 48);
    const g = canvas.getContext('2d');
    g.drawImage(video, 0, 0, 64, 48);
    const { data } = g.getImageData(0, 0, 64, 48);
    let sum = 0;
    for (let i = 0; i < data.length; i++) sum = (sum * 31 + data[i]) | 0;
    const lit = data.some((v, i) => i % 4 < 3 && v > 40);
    return { sum, lit, frames: video.getVideoPlaybackQuality().totalVideoFrames };
  }

  async stats() {
    const out = { packetsReceived: 0, packetsSent: 0, framesDecoded: 0 };
    for (const s of (await this.pc.getStats()).values()) {
      if (s.type === 'inbound-rtp') {
        out.packetsReceived += s.packetsReceived;
        out.framesDecoded += s.framesDecoded ?? 0;
      }
      if (s.type === 'outbound-rtp') out.packetsSent += s.packetsSent;
    }
    return out;
  }

  close(end) {
    if (this.state === 'ended') return;
    this.state = 'ended';
    this.end = end;
    this.ears?.close();
    this.ears = null;
  }
}
