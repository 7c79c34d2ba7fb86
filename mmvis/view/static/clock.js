// Playing at a rate: which frame is due now, and how many of those that were due have been drawn in time.

export class Clock {
  /** `draw(frame)` draws a frame and says how many masks that were; null if it could not. */
  constructor(numFrames, draw, onend) {
    Object.assign(this, {numFrames, draw, onend, frame: 0, rate: 10, loop: true, playing: false});
  }

  play() {
    if (this.playing) return;
    if (!this.loop && this.frame === this.numFrames - 1) this.frame = 0;
    Object.assign(this, {due: 0, drawn: 0, masks: 0});
    Object.assign(this, {playing: true, count: -1, pending: false, first: this.frame, start: performance.now()});
    const run = this.run = {};
    const tick = () => {
      if (!this.playing || this.run !== run) return;
      this.advance(performance.now());
      requestAnimationFrame(tick);
    };
    tick();
  }

  advance(now) {
    const count = Math.floor((now - this.start) * this.rate / 1000);
    if (count > this.count) {
      if (!this.loop && this.first + count > this.numFrames - 1) return this.pause(this.numFrames - 1);
      this.due += count - this.count;
      this.count = count;
      this.frame = (this.first + count) % this.numFrames;
      this.pending = true;
    }
    const masks = this.pending ? this.draw(this.frame) : null;
    if (masks === null) return;
    this.pending = false;
    if (performance.now() < this.start + (count + 1) * 1000 / this.rate) {
      this.drawn++;
      this.masks += masks;
    }
  }

  pause(frame = this.frame) {
    if (!this.playing) return;
    this.playing = false;
    this.frame = frame;
    this.onend();
  }

  setRate(rate) {
    const wasPlaying = this.playing;
    this.playing = false;
    this.rate = rate;
    if (wasPlaying) this.play();
  }
}
