/** The sound of an incoming call: two soft tones, made here, every three seconds. */

const TONES = [523.25, 659.25];
const EVERY_MS = 3_000;

/** Ring until the returned function is called. */
export function ring() {
  const context = new AudioContext();
  const once = () => {
    TONES.forEach((frequency, index) => {
      const start = context.currentTime + index * 0.28;
      const tone = new OscillatorNode(context, { frequency });
      const volume = new GainNode(context, { gain: 0 });
      volume.gain.linearRampToValueAtTime(0.16, start + 0.03);
      volume.gain.linearRampToValueAtTime(0, start + 0.5);
      tone.connect(volume).connect(context.destination);
      tone.start(start);
      tone.stop(start + 0.55);
    });
    navigator.vibrate?.([200, 80, 200]);
  };
  once();
  const timer = setInterval(once, EVERY_MS);
  return () => {
    clearInterval(timer);
    context.close();
  };
}
