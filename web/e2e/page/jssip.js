import JsSIP from 'jssip';
import { hurried } from '../../phone/src/media.js';
import { Call } from './call.js';

const pcConfig = { iceServers: [] };

// JsSIPPhone puts JsSIP behind the tests' small interface.
export class JsSIPPhone {
  constructor(host, config) {
    this.host = host;
    this.config = config;
  }

  start() {
    const { ws, domain, user, password } = this.config;
    this.ua = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(ws)],
      uri: `sip:${user}@${domain}`,
      password,
      register: true,
      connection_recovery_min_interval: 1,
      connection_recovery_max_interval: 1,
    });
    this.ua.on('registered', () => this.host.registered());
    this.ua.on('unregistered', () => this.host.set({ registered: false }));
    this.ua.on('registrationFailed', ({ response, cause }) =>
      this.host.set({ registered: false, refused: { status: response?.status_code ?? 0, cause } }));
    this.ua.on('disconnected', () => this.host.set({ registered: false }));
    this.ua.on('newMessage', ({ originator, request }) => {
      if (originator === 'remote') this.host.got(request.from.uri.user, request.body);
    });
    this.ua.on('sipEvent', ({ request }) => this.host.told('unasked', request.body)); // a NOTIFY of no subscription
    this.ua.on('newRTCSession', ({ originator, session, request }) => {
      if (originator === 'remote') this.adopt(session, new Call('in', request.from.uri.user));
    });
    this.ua.start();
  }

  stop() {
    this.ua.stop();
  }

  media(video) {
    return this.host.stream(video);
  }

  call(target, { video = false, extra = 0 } = {}) {
    const call = new Call('out', target);
    this.ua.once('newRTCSession', ({ session }) => {
      this.adopt(session, call);
      call.widen(extra);
    });
    this.ua.call(`sip:${target}@${this.config.domain}`, {
      mediaStream: this.media(video),
      pcConfig,
      rtcOfferConstraints: { offerToReceiveAudio: true, offerToReceiveVideo: video },
    });
    return call;
  }

  adopt(session, call) {
    call.session = session;
    hurried(session);
    if (session.connection) call.watch(session.connection);
    session.on('peerconnection', ({ peerconnection }) => call.watch(peerconnection));
    session.on('progress', ({ response }) => {
      if (response) call.provisional.push(response.status_code);
      this.state(call, 'ringing');
    });
    session.on('accepted', () => this.host.changed());
    session.on('confirmed', () => this.state(call, 'up'));
    const over = ({ originator, message, cause }) => {
      call.close({
        by: originator,
        status: message?.status_code ?? 0,
        cause,
        reason: message?.getHeader?.('Reason') ?? null,
      });
      this.host.changed();
    };
    session.on('failed', over);
    session.on('ended', over);
    session.on('hold', ({ originator }) => this.held(call, originator, true));
    session.on('unhold', ({ originator }) => this.held(call, originator, false));
    session.on('reinvite', () => {
      call.reinvites++;
      this.host.changed();
    });
    session.on('newDTMF', ({ originator, dtmf }) => {
      if (originator === 'remote') call.dtmf.push(dtmf.tone);
      this.host.changed();
    });
    session.on('refer', ({ accept }) =>
      accept((next) => this.adopt(next, new Call('out', 'referred')), { mediaStream: this.media(false), pcConfig }));
    session.on('replaces', ({ accept }) => accept((next) => this.replaced(next)));
    this.host.add(call);
  }

  replaced(session) {
    // newRTCSession has adopted it already
    session.answer({ mediaStream: this.media(false), pcConfig });
  }

  held(call, originator, on) {
    if (originator === 'remote') call.remoteHold = on;
    this.host.changed();
  }

  state(call, state) {
    if (call.state !== 'ended') call.state = state;
    this.host.changed();
  }

  answer(call, { video = false } = {}) {
    call.session.answer({ mediaStream: this.media(video), pcConfig });
  }

  reject(call, status) {
    call.session.terminate({ status_code: status });
  }

  hangup(call) {
    call.session.terminate();
  }

  hold(call) {
    return new Promise((done, fail) => call.session.hold({}, done) || fail(new Error('not ready to hold')));
  }

  unhold(call) {
    return new Promise((done, fail) => call.session.unhold({}, done) || fail(new Error('not ready to unhold')));
  }

  reinvite(call) {
    return new Promise((done, fail) => call.session.renegotiate({}, done) || fail(new Error('not ready')));
  }

  dtmf(call, tone) {
    call.session.sendDTMF(tone, { transportType: 'INFO' });
  }

  // tones are sent as media (RFC 4733).
  tones(call, tones) {
    call.session.sendDTMF(tones, { transportType: 'RFC2833' });
  }

  // watch subscribes; lamps tells what it learns.
  watch(whose, event, accept) {
    this.watching = this.ua.subscribe(`sip:${whose}@${this.config.domain}`, event, accept, { expires: 60 });
    this.watching.on('notify', (final, request, body) => this.host.told(whose, body));
    return new Promise((resolve, reject) => {
      this.watching.on('accepted', resolve);
      this.watching.on('terminated', (code) => reject(new Error(`no subscription: ${code}`)));
      this.watching.subscribe();
    });
  }

  unwatch() {
    this.watching.terminate();
  }

  message(target, text) {
    return new Promise((resolve) => {
      this.ua.sendMessage(`sip:${target}@${this.config.domain}`, text, {
        eventHandlers: {
          succeeded: ({ response }) => resolve(response.status_code),
          failed: ({ response, cause }) => resolve(response?.status_code ?? cause),
        },
      });
    });
  }

  refer(call, target) {
    call.session.refer(`sip:${target}@${this.config.domain}`, { eventHandlers: this.follow(call) });
  }

  referAttended(call, other) {
    call.session.refer(other.session.remote_identity.uri, {
      replaces: other.session,
      eventHandlers: this.follow(call),
    });
  }

  follow(call) {
    const note = (status) => {
      call.transfer = status;
      this.host.changed();
    };
    return {
      requestFailed: () => note(-1),
      trying: ({ status_line: s }) => note(s.status_code),
      progress: ({ status_line: s }) => note(s.status_code),
      accepted: ({ status_line: s }) => note(s.status_code),
      failed: ({ status_line: s }) => note(s.status_code),
    };
  }
}
