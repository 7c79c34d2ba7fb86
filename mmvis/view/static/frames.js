// Pictures and masks of a video, fetched ahead of where it is played, and let go again behind it.
import {getMasks, getPicture} from './source.js';
import {decodeRle} from './rle.js';

const AHEAD = 24, AT_ONCE = 6, MEMORY = 320e6;

export class FrameStore {
  /** `onload` is called whenever something has arrived. */
  constructor(number, video, block, onload) {
    Object.assign(this, {number, video, block, onload, frame: 0, loading: 0, closed: false});
    this.pictures = new Map();   // frame -> ImageBitmap, or the Error that came in its place; null: on its way
    this.blocks = new Map();     // block -> masks as the server sends them, an Error, or null
    this.decoded = new Map();    // frame -> [source][{place, mask}]
    this.room = Math.max(8, Math.min(video.frames, Math.floor(MEMORY / (video.width * video.height * 4))));
  }

  /** The picture (or an Error) and the masks of a frame; null while one of them is missing. */
  at(frame) {
    const picture = this.pictures.get(frame), masks = this.masks(frame);
    return picture && masks ? {picture, masks} : null;
  }

  masks(frame) {
    if (this.decoded.has(frame)) return this.decoded.get(frame);
    const block = this.blocks.get(Math.floor(frame / this.block));
    if (!block) return null;
    const masks = block instanceof Error ? this.video.sources.map(() => []) : block.map(source =>
      source[frame % this.block].map(([place, counts]) => ({place, mask: decodeRle(counts, this.video.height)})));
    this.decoded.set(frame, masks);
    return masks;
  }

  /** Fetches what comes next from this frame on. */
  want(frame) {
    this.frame = frame;
    const count = Math.min(AHEAD, this.room - 1, this.video.frames);
    for (let i = 0; i < count; i++) {
      const next = (frame + i) % this.video.frames;
      this.wantMasks(Math.floor(next / this.block));
      if (this.loading < AT_ONCE && !this.pictures.has(next)) this.load(next);
      else if (this.pictures.get(next) && !this.decoded.has(next) && i < 4) this.masks(next);
    }
    this.forget();
  }

  async load(frame) {
    this.loading++;
    this.pictures.set(frame, null);
    const picture = await getPicture(this.number, frame).catch(error => error);
    this.loading--;
    if (this.closed) return picture.close?.();
    this.pictures.set(frame, picture);
    this.want(this.frame);
    this.onload();
  }

  async wantMasks(block) {
    if (this.blocks.has(block)) return;
    this.blocks.set(block, null);
    const masks = await getMasks(this.number, block).catch(error => error);
    this.blocks.set(block, masks);
    this.onload();
  }

  /** Takes masks again, of tracks that have changed on the server. */
  refresh(video) {
    this.video = video;
    this.blocks.clear();
    this.decoded.clear();
    this.want(this.frame);
  }

  forget() {
    const distance = frame => (frame - this.frame + this.video.frames) % this.video.frames;
    const far = [...this.pictures.keys()].filter(frame => this.pictures.get(frame)).sort((a, b) => distance(b) - distance(a));
    while (this.pictures.size > this.room && far.length) {
      const frame = far.shift();
      this.pictures.get(frame).close?.();
      this.pictures.delete(frame);
    }
    for (const frame of this.decoded.keys()) if (distance(frame) > AHEAD && this.decoded.size > 3 * AHEAD) this.decoded.delete(frame);
  }

  close() {
    this.closed = true;
    for (const picture of this.pictures.values()) picture?.close?.();
    this.pictures.clear();
  }
}
