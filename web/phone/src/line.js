// One registered phone line on JsSIP: its state, its call, what it receives.

import JsSIP from 'jssip';
import { hurried } from './media.js';

// TracedSocket tells of every message that crosses it.
class TracedSocket extends JsSIP.WebSocketInterface {
  #note;
  #deliver = () => {};

  constructor(url, note) {
    super(url);
    this.#note = note;
  }

  send(message) {
    const sent = super.send(message);
    if (sent) this.#note(true, message);
    return sent;
  }

  set ondata(deliver) {
    this.#deliver = deliver;
  }

  get ondata() {
    return (data) => {
      const text = typeof data === 'string' ? data : new TextDecoder().decode(data);
      this.#note(false, text);
      this.#deliver(data);
    };
  }
}

// Line raises "change" whenever something of its state is new. States: idle,
// calling, ringing, up. Registration: connecting, registered, refused.
export class Line extends EventTarget {
  constructor({ name, password, ws, domain, note, media }) {
    super();
    this.name = name;
    this.domain = domain;
    this.media = media;
    this.registration = 'connecting';
    this.reset();
    this.ended = '';
    this.ua = new JsSIP.UA({
      sockets: [new TracedSocket(ws, note)],
      uri: `sip:${name}@${domain}`,
      password,
      display_name: name,
    });
    this.ua.on('registered', () => this.set({ registration: 'registered' }));
    this.ua.on('unregistered', () => this.set({ registration: 'connecting' }));
    this.ua.on('disconnected', () => this.set({ registration: 'connecting' }));
    this.ua.on('registrationFailed', ({ cause }) => this.set({ registration: 'refused', ended: `Not registered: ${cause}` }));
    this.ua.on('newRTCSession', ({ originator, session }) => this.began(originator, session));
    this.ua.start();
  }

  reset() {
    this.state = 'idle';
    this.peer = '';
    this.session = null;
    this.since = null;
    this.rings = false;
    this.muted = false;
    this.hold = { local: false, remote: false };
    this.digits = '';
    this.received = null;
    this.local = null;
  }

  set(values) {
    Object.assign(this, values);
    this.dispatchEvent(new Event('change'));
  }

  async call(peer) {
    if (this.state !== 'idle') return;
    this.set({ state: 'calling', peer, ended: '' });
    const local = await this.media();
    if (this.state !== 'calling') return void stop(local); // hung up meanwhile
    this.local = local;
    this.ua.call(`sip:${peer}@${this.domain}`, { mediaStream: local, pcConfig: { iceServers: [] } });
  }

  async answer() {
    const { session } = this;
    if (this.state !== 'ringing' || this.answering) return;
    this.answering = true;
    const local = await this.media();
    this.answering = false;
    if (this.session !== session || session.isEnded()) return void stop(local);
    this.local = local;
    session.answer({ mediaStream: local, pcConfig: { iceServers: [] } });
  }

  reject() {
    this.session?.terminate({ status_code: 486, reason_phrase: 'Busy Here' });
  }

  hangup() {
    if (this.session) this.session.terminate();
    else this.finish('Cancelled');
  }

  toggleHold() {
    if (this.hold.local) this.session?.unhold();
    else this.session?.hold();
  }

  toggleMute() {
    if (this.muted) this.session?.unmute({ audio: true, video: true });
    else this.session?.mute({ audio: true, video: true });
  }

  dial(digit) {
    this.session?.sendDTMF(digit, { transportType: 'INFO' });
  }

  began(originator, session) {
    // the same call again: JsSIP has forgotten it with the connection that it came over
    const again = this.state === 'ringing' && this.session.id === session.id;
    if (originator === 'remote' && this.state !== 'idle' && !again) {
      session.terminate({ status_code: 486, reason_phrase: 'Busy Here' });
      return;
    }
    this.session = session;
    this.follow(session);
    if (session.connection) this.receive(session.connection);
    session.on('peerconnection', ({ peerconnection }) => this.receive(peerconnection));
    if (originator === 'remote') {
      this.set({ state: 'ringing', peer: session.remote_identity.uri.user, ended: '' });
    }
  }

  follow(session) {
    hurried(session);
    const on = (event, told) => session.on(event, (e) => this.session === session && told(e));
    on('progress', ({ originator }) => {
      if (originator === 'remote') this.set({ rings: true });
    });
    on('confirmed', () => this.set({ state: 'up', since: Date.now() }));
    on('ended', ({ originator }) => this.finish(originator === 'local' ? 'You hung up' : `${this.peer} hung up`));
    on('failed', ({ cause, message }) => {
      const status = message?.status_code ? `${message.status_code} ` : '';
      this.finish(`${status}${message?.reason_phrase ?? cause}`);
    });
    for (const event of ['hold', 'unhold']) {
      on(event, () => this.set({ hold: { ...session.isOnHold() } }));
    }
    on('muted', () => this.set({ muted: true }));
    on('unmuted', () => this.set({ muted: false }));
    on('newDTMF', ({ originator, dtmf }) => {
      if (originator === 'remote') this.set({ digits: this.digits + dtmf.tone });
    });
  }

  receive(connection) {
    const received = new MediaStream();
    connection.addEventListener('track', ({ track }) => {
      received.addTrack(track);
      this.set({ received });
    });
  }

  finish(ended) {
    stop(this.local);
    this.reset();
    this.set({ ended });
  }
}

function stop(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
