/** This side's camera, microphone and screen: which are on, missing or sent. */

import { devices, openMedia, openScreen } from "../client.js";

/** Events: `track` {kind, track} to be sent from now on; `change`. */
export class Local extends EventTarget {
  #microphone = null;
  #camera = null;
  #screen = null;
  /** The chosen devices: true is any. */
  #chosen = { audio: true, video: true };

  muted = false;
  cameraOff = false;
  missing = {};

  /** The tracks to send. A shared screen takes the camera's place. */
  get tracks() {
    return { audio: this.#microphone, video: this.#screen ?? this.#camera };
  }

  get sharing() {
    return this.#screen !== null;
  }

  /** The state for the others, since a track without pictures looks like a lost one. */
  get state() {
    const { audio, video } = this.tracks;
    return { audio: audio !== null && !this.muted, video: video !== null, screen: this.sharing };
  }

  async open({ video = true } = {}) {
    this.close();
    this.muted = false;
    this.cameraOff = !video;
    const { tracks, missing } = await openMedia({ audio: this.#chosen.audio, video: video && this.#chosen.video });
    this.#microphone = tracks.audio;
    this.#camera = tracks.video;
    this.missing = missing;
    this.#changed();
  }

  close() {
    for (const track of [this.#microphone, this.#camera, this.#screen]) track?.stop();
    this.#microphone = this.#camera = this.#screen = null;
    this.#changed();
  }

  toggleMute() {
    this.muted = !this.muted;
    if (this.#microphone) this.#microphone.enabled = !this.muted;
    this.#changed();
  }

  /** Off means off: the camera's light goes out. */
  async toggleCamera() {
    this.cameraOff = !this.cameraOff;
    await this.#renew("video", !this.cameraOff);
  }

  /** False if the browser refuses, or the user changes their mind. */
  async toggleScreen() {
    if (this.#screen !== null) {
      this.#screen.stop();
      this.#screen = null;
    } else {
      const track = await openScreen();
      if (track === null) return;
      this.#screen = track;
      track.onended = () => {
        this.#screen = null;
        this.#send("video");
      };
    }
    this.#send("video");
  }

  list() {
    return devices();
  }

  chosen(kind) {
    const track = kind === "audio" ? this.#microphone : this.#camera;
    return this.#chosen[kind] === true ? (track?.getSettings().deviceId ?? "") : this.#chosen[kind];
  }

  /** Use this device from now on, at once if its kind is in use. */
  async choose(kind, device) {
    this.#chosen[kind] = device;
    const used = kind === "audio" ? this.#microphone : this.#camera;
    if (used !== null) await this.#renew(kind, true);
  }

  async #renew(kind, on) {
    const old = kind === "audio" ? this.#microphone : this.#camera;
    old?.stop();
    let track = null;
    if (on) {
      const opened = await openMedia({ [kind]: this.#chosen[kind] });
      track = opened.tracks[kind];
      const { [kind]: _, ...others } = this.missing;
      this.missing = { ...others, ...opened.missing };
    }
    if (kind === "audio") this.#microphone = track;
    else this.#camera = track;
    if (kind === "audio" && track) track.enabled = !this.muted;
    this.#send(kind);
  }

  #send(kind) {
    this.dispatchEvent(new CustomEvent("track", { detail: { kind, track: this.tracks[kind] } }));
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
