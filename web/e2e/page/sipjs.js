import * as SIP from 'sip.js';
import { Call } from './call.js';

const { Inviter, Messager, Registerer, RegistererState, SessionState, Subscriber, SubscriptionState, UserAgent, Web } = SIP;

// SIPjsPhone puts SIP.js behind the tests' small interface.
export class SIPjsPhone {
  constructor(host, config) {
    this.host = host;
    this.config = config;
  }

  uri(user) {
    return UserAgent.makeURI(`sip:${user}@${this.config.domain}`);
  }

  async start() {
    const { ws, user, password, outbound = false, instance = false, refreshFrequency } = this.config;
    const media = ({ video }) => Promise.resolve(this.host.stream(Boolean(video)));
    this.ua = new UserAgent({
      uri: this.uri(user),
      authorizationUsername: user,
      authorizationPassword: password,
      transportOptions: { server: ws },
      ...(instance && { instanceId: instance, instanceIdAlwaysAdded: true }),
      logLevel: 'error',
      logBuiltinEnabled: false,
      sipExtensionReplaces: SIP.SIPExtension.Supported,
      sessionDescriptionHandlerFactory: Web.defaultSessionDescriptionHandlerFactory(media),
      sessionDescriptionHandlerFactoryOptions: { peerConnectionConfiguration: { iceServers: [] } },
      delegate: {
        onInvite: (invitation) => this.invited(invitation),
        onMessage: (message) => {
          message.accept();
          this.host.got(message.request.from.uri.user, message.request.body);
        },
        onNotify: (notification) => { // of no subscription
          notification.accept();
          this.host.told('unasked', notification.request.body);
        },
        onDisconnect: (error) => {
          this.host.set({ registered: false });
          if (error) this.reconnect();
        },
      },
    });
    const named = instance ? { instanceId: instance, regId: 1 } : outbound ? { regId: 1 } : {};
    this.registererOptions = { ...named, refreshFrequency };
    this.makeRegisterer();
    await this.ua.start();
    await this.register();
  }

  makeRegisterer() {
    const registerer = new Registerer(this.ua, this.registererOptions);
    registerer.stateChange.addListener((state) => {
      if (state !== RegistererState.Registered && registerer === this.registerer) this.host.set({ registered: false });
    });
    this.registerer = registerer;
  }

  // reconnect is the page's business with SIP.js: again and again until it is back.
  async reconnect() {
    while (!await this.ua.reconnect().then(() => true, () => false)) {
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    if (this.registerer.waiting) this.makeRegisterer(); // for an answer that went to the old connection
    await this.register();
  }

  register() {
    return this.registerer.register({
      requestDelegate: {
        onAccept: () => this.host.registered(),
        onReject: ({ message }) =>
          this.host.set({
            registered: false,
            refused: { status: message.statusCode, cause: message.reasonPhrase },
          }),
      },
    });
  }

  async stop() {
    await this.registerer.unregister();
    await this.ua.stop();
  }

  invited(invitation) {
    const call = new Call('in', invitation.remoteIdentity.uri.user);
    this.adopt(invitation, call);
    this.state(call, 'ringing');
    const cancelled = invitation._onCancel.bind(invitation);
    invitation._onCancel = (message) => {
      call.cancelReason = message.getHeader('Reason') ?? null;
      cancelled(message);
    };
    if (invitation.replacee) this.answer(call);
  }

  call(target, { video = false, extra = 0, early = false } = {}) {
    const call = new Call('out', target);
    const inviter = new Inviter(this.ua, this.uri(target), {
      earlyMedia: early,
      sessionDescriptionHandlerOptions: { constraints: { audio: true, video } },
    });
    this.adopt(inviter, call, extra);
    this.invite(inviter, call);
    return call;
  }

  invite(inviter, call) {
    const refused = ({ message }) => {
      call.refusal = { status: message.statusCode, cause: message.reasonPhrase };
    };
    return inviter.invite({
      requestDelegate: {
        onProgress: ({ message }) => {
          call.provisional.push(message.statusCode);
          this.state(call, 'ringing');
        },
        onRedirect: refused,
        onReject: refused,
      },
    });
  }

  adopt(session, call, extra = 0) {
    call.session = session;
    session.delegate = {
      onSessionDescriptionHandler: (handler) => {
        call.watch(handler.peerConnection);
        call.widen(extra);
      },
      onInvite: (request) => {
        call.reinvites++;
        call.remoteHold = /a=(sendonly|inactive)/.test(request.body ?? '');
        this.host.changed();
      },
      onInfo: (info) => {
        const signal = /^Signal=\s*(\S)/m.exec(info.request.body ?? '');
        if (signal) call.dtmf.push(signal[1]);
        info.accept();
        this.host.changed();
      },
      onRefer: (referral) => this.referred(referral),
      onBye: (bye) => {
        call.byeReason = bye.incomingByeRequest?.message.getHeader('Reason') ?? null;
        call.byeSeen = true;
        bye.accept();
      },
    };
    session.stateChange.addListener((state) => this.follow(call, state));
    this.host.add(call);
  }

  follow(call, state) {
    if (state === SessionState.Established) this.state(call, 'up');
    // The delegate that knows the status is told right after this.
    if (state === SessionState.Terminated) queueMicrotask(() => this.over(call));
  }

  over(call) {
    const remote = call.byeSeen || call.refusal || call.cancelReason !== undefined;
    call.close({
      by: remote && !call.hungUp ? 'remote' : 'local',
      status: call.refusal?.status ?? 0,
      cause: call.refusal?.cause ?? '',
      reason: call.cancelReason ?? call.byeReason ?? null,
    });
    this.host.changed();
  }

  async referred(referral) {
    await referral.accept();
    const inviter = referral.makeInviter({
      sessionDescriptionHandlerOptions: { constraints: { audio: true, video: false } },
    });
    const call = new Call('out', 'referred');
    this.adopt(inviter, call);
    await this.invite(inviter, call);
  }

  state(call, state) {
    if (call.state === 'up' && state === 'ringing') return;
    if (call.state !== 'ended') call.state = state;
    this.host.changed();
  }

  answer(call, { video = false } = {}) {
    return call.session.accept({
      sessionDescriptionHandlerOptions: { constraints: { audio: true, video } },
    });
  }

  reject(call, status) {
    call.hungUp = true;
    return call.session.reject({ statusCode: status });
  }

  hangup(call) {
    call.hungUp = true;
    const { session } = call;
    if (session.state === SessionState.Established) return session.bye();
    return call.direction === 'out' ? session.cancel() : session.reject();
  }

  hold(call) {
    return this.renegotiate(call, true);
  }

  unhold(call) {
    return this.renegotiate(call, false);
  }

  reinvite(call) {
    return this.renegotiate(call, false);
  }

  async renegotiate(call, hold) {
    const { session } = call;
    session.sessionDescriptionHandlerOptionsReInvite = { hold };
    await new Promise((resolve, reject) => {
      session.invite({
        requestDelegate: {
          onAccept: resolve,
          onReject: ({ message }) => reject(new Error(`re-INVITE: ${message.statusCode}`)),
        },
      }).catch(reject);
    });
    session.sessionDescriptionHandler.enableSenderTracks(!hold);
    session.sessionDescriptionHandler.enableReceiverTracks(!hold);
  }

  dtmf(call, tone) {
    return call.session.info({
      requestOptions: {
        body: {
          contentDisposition: 'render',
          contentType: 'application/dtmf-relay',
          content: `Signal=${tone}\r\nDuration=100`,
        },
      },
    });
  }

  // tones are sent as media (RFC 4733).
  tones(call, tones) {
    if (!call.session.sessionDescriptionHandler.sendDtmf(tones)) throw new Error('no tones');
  }

  // watch subscribes; lamps tells what it learns.
  watch(whose, event, accept) {
    const headers = { extraHeaders: [`Accept: ${accept}`] };
    this.watching = new Subscriber(this.ua, this.uri(whose), event, { expires: 60, ...headers });
    this.watching.delegate = {
      onNotify: (notification) => {
        notification.accept();
        this.host.told(whose, notification.request.body);
      },
    };
    return new Promise((resolve, reject) => {
      this.watching.stateChange.addListener((state) => {
        if (state === SubscriptionState.Subscribed) resolve();
        if (state === SubscriptionState.Terminated) reject(new Error('no subscription'));
      });
      this.watching.subscribe();
    });
  }

  unwatch() {
    return this.watching.unsubscribe();
  }

  message(target, text) {
    return new Promise((resolve, reject) => {
      new Messager(this.ua, this.uri(target), text).message({
        requestDelegate: {
          onAccept: ({ message }) => resolve(message.statusCode),
          onReject: ({ message }) => resolve(message.statusCode),
        },
      }).catch(reject);
    });
  }

  refer(call, target) {
    return call.session.refer(this.uri(target), this.following(call));
  }

  referAttended(call, other) {
    return call.session.refer(other.session, this.following(call));
  }

  following(call) {
    return {
      onNotify: (notification) => {
        notification.accept();
        call.transfer = Number(/^SIP\/2.0 (\d+)/.exec(notification.request.body)?.[1] ?? -1);
        this.host.changed();
      },
    };
  }
}
