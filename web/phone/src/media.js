// Sound and pictures: what stands in for a microphone or a camera, and what is
// heard of the other side.

let context;

// audioContext is one per page. Browsers let it run once the user has clicked.
export function audioContext() {
  context ??= new AudioContext();
  if (context.state === 'suspended') context.resume();
  return context;
}

// toneTrack gives an audio track with a sine of hz in it. Beeping switches it
// on and off about once a second, which is easier on a listener.
export function toneTrack(hz, { beeping = false, gain = 0.3 } = {}) {
  const ctx = audioContext();
  const oscillator = new OscillatorNode(ctx, { frequency: hz });
  const volume = new GainNode(ctx, { gain });
  const out = new MediaStreamAudioDestinationNode(ctx, { channelCount: 1 });
  oscillator.connect(volume).connect(out);
  oscillator.start();
  const envelope = beeping ? pulse(ctx, volume.gain, gain) : null;
  return stopping(out.stream.getAudioTracks()[0], () => {
    oscillator.stop();
    envelope?.stop();
  });
}

// stopping ends what feeds a track with it: stop() raises no event.
function stopping(track, end) {
  const stop = track.stop.bind(track);
  track.stop = () => {
    if (track.readyState === 'live') end();
    stop();
  };
  return track;
}

// pulse drives a gain between nothing and full by a looped, soft envelope.
function pulse(ctx, param, gain) {
  const length = Math.round(ctx.sampleRate * 0.9);
  const buffer = new AudioBuffer({ length, sampleRate: ctx.sampleRate });
  const envelope = buffer.getChannelData(0);
  for (let i = 0; i < length; i++) {
    envelope[i] = gain * Math.min(1, Math.max(0, 6 * Math.sin((2 * Math.PI * i) / length)));
  }
  const source = new AudioBufferSourceNode(ctx, { buffer, loop: true });
  param.value = 0;
  source.connect(param);
  source.start();
  return source;
}

// pictureTrack gives a video track of a moving, labelled picture.
export function pictureTrack(label, hue, { width = 320, height = 240, fps = 15 } = {}) {
  const canvas = document.createElement('canvas');
  Object.assign(canvas, { width, height });
  const g = canvas.getContext('2d');
  let frame = 0;
  const draw = () => paint(g, label, hue, frame++);
  draw();
  const timer = setInterval(draw, 1000 / fps);
  return stopping(canvas.captureStream(fps).getVideoTracks()[0], () => clearInterval(timer));
}

function paint(g, label, hue, frame) {
  const { width, height } = g.canvas;
  const t = frame / 30;
  g.fillStyle = `hsl(${hue} 45% 22%)`;
  g.fillRect(0, 0, width, height);
  for (let i = 0; i < 3; i++) {
    const radius = height * (0.16 + 0.09 * i + 0.03 * Math.sin(t * 3 + i));
    g.strokeStyle = `hsl(${hue + 18 * i} 70% ${65 - 10 * i}%)`;
    g.lineWidth = 5;
    g.beginPath();
    g.arc(width / 2, height / 2, radius, t * (1.5 - 0.4 * i), t * (1.5 - 0.4 * i) + 4.4);
    g.stroke();
  }
  g.fillStyle = 'white';
  g.textAlign = 'center';
  g.textBaseline = 'middle';
  g.font = `600 ${Math.round(height / 9)}px system-ui, sans-serif`;
  g.fillText(label, width / 2, height / 2);
}

// tap connects an analyser to a received stream. Chromium feeds a remote track
// into WebAudio only while a media element plays it, hence the silent one.
export function tap(stream, options) {
  const ctx = audioContext();
  const pump = new Audio();
  pump.muted = true;
  pump.srcObject = stream;
  pump.play().catch(() => {});
  const source = ctx.createMediaStreamSource(stream);
  const analyser = new AnalyserNode(ctx, options);
  source.connect(analyser);
  return {
    analyser,
    close() {
      source.disconnect();
      pump.srcObject = null;
    },
  };
}

// level is the loudness of what an analyser sees now: 0 silent, 1 full scale.
export function level(analyser) {
  const samples = new Float32Array(analyser.fftSize);
  analyser.getFloatTimeDomainData(samples);
  let sum = 0;
  for (const s of samples) sum += s * s;
  return Math.sqrt(sum / samples.length);
}

// hurried has a call of JsSIP's not wait for the last candidate for ever: a browser whose network
// changes while it gathers never says that it has done so.
export function hurried(session, ms = 1000) {
  let late;
  session.on('icecandidate', ({ ready }) => {
    clearTimeout(late);
    late = setTimeout(ready, ms);
  });
}
