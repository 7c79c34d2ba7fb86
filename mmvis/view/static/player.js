// One video: its panes, what is set for them, and what the keys do.
import {check, el, field, fill, say, select} from './dom.js';
import {Clock} from './clock.js';
import {eventsOf, nameOf} from './events.js';
import {FrameStore} from './frames.js';
import {Labels, Layer} from './paint.js';
import {keepRoute, readRoute, routeTo} from './route.js';
import {getVideo} from './source.js';
import {Timeline} from './timeline.js';

// What stays from video to video.
const settings = {thresh: 0.3, opacity: 0.45, labels: true, layout: 'side', hidden: new Set(), rate: 10, loop: true};

export class Player {
  /** `table`: the list as the server gives it; `number`: of the video; `neighbour(step)`: number of the video before or behind. */
  constructor(main, table, number, neighbour) {
    Object.assign(this, {main, number, neighbour, panes: [], chosen: null, events: [], frame: 0});
    this.row = table.videos[number];
    this.block = table.block;
  }

  async open(query) {
    if (query.has('thresh')) settings.thresh = Number(query.get('thresh'));
    if (query.has('layout')) settings.layout = query.get('layout') === 'over' ? 'over' : 'side';
    this.video = await getVideo(this.number);
    if (this.closed) return;
    this.store = new FrameStore(this.number, this.video, this.block, () => { if (!this.clock.playing) this.show(); });
    this.clock = new Clock(this.video.frames, frame => this.drawDue(frame), () => this.paused());
    Object.assign(this.clock, {rate: settings.rate, loop: settings.loop});
    this.build();
    const first = query.get('error') === 'last' ? this.events.at(-1)?.frame : query.get('error') ? this.events[0]?.frame : null;
    this.seek(first ?? Number(query.get('frame') ?? 0));
  }

  close() {
    this.closed = true;
    if (this.clock) this.clock.playing = false;
    this.store?.close();
    this.resize?.disconnect();
  }

  /** Something more is known on the server: numbers, or another results file. */
  async refresh() {
    if (!this.video) return;
    const video = await getVideo(this.number);
    if (this.closed) return;
    const isSame = video.sources.length === this.video.sources.length;
    this.video = video;
    this.store.refresh(video);
    if (isSame) this.update();
    else this.build();
    this.show();
  }

  get shown() {
    return this.video.sources.filter(source => !settings.hidden.has(source.title));
  }

  // -- what stands on the page

  build() {
    const {row, video} = this;
    this.timeline = new Timeline(video.frames, frame => this.seek(frame), (source, place) => this.choose(source, place));
    this.stage = el('div', {class: 'panes'});
    this.slider = el('input', {type: 'range', id: 'frame', min: 0, max: video.frames - 1, value: 0, 'aria-label': 'Frame',
      oninput: event => this.seek(Number(event.target.value))});
    this.position = el('output', {id: 'position'});
    this.playButton = el('button', {id: 'play', title: 'Play or pause (space)', onclick: () => this.toggle()}, '▶ Play');
    this.event = el('output', {id: 'error'});
    fill(this.main,
      el('h1', {}, row.name, el('small', {}, ` video ${row.id} · ${video.width} × ${video.height} · ${video.frames} frames`)),
      this.stage,
      el('div', {class: 'bar-of-controls'}, this.playButton, this.slider, this.position,
        el('button', {id: 'link', title: 'Copy the address of this frame', onclick: () => this.copyLink()}, 'Copy link')),
      el('div', {class: 'controls'}, this.controls()),
      el('div', {class: 'controls'}, this.ways()),
      this.timeline.node,
      el('p', {class: 'keys'},
        'Keys: space plays; ← → a frame; Home, End; n, p next and previous error; [ ] video before and behind.'));
    this.arrange();
  }

  controls() {
    const number = (label, name, props) => field(label, {type: 'range', step: 0.01, min: 0, max: 1, value: settings[name], id: name,
      title: String(settings[name]), oninput: event => {
        settings[name] = Number(event.target.value);
        event.target.title = event.target.value;
        this.update();
        this.show();
      }, ...props});
    const {sources} = this.video;
    return [
      number('scores from', 'thresh'), this.threshold = el('output', {}), number('opacity', 'opacity'),
      field('frames a second', {type: 'number', id: 'rate', min: 1, max: 60, value: settings.rate, onchange: event => {
        settings.rate = Math.min(60, Math.max(1, Number(event.target.value) || settings.rate));
        this.clock.setRate(settings.rate);
      }}),
      check('loop', settings.loop, on => { settings.loop = this.clock.loop = on; }),
      check('labels', settings.labels, on => { settings.labels = on; this.show(); }),
      sources.length > 1 && select('layout', [['side', 'side by side'], ['over', 'over one another']], settings.layout,
        value => { settings.layout = value; this.arrange(); this.show(); }),
      sources.length > 1 && sources.map(source => check(source.title, !settings.hidden.has(source.title), on => {
        settings.hidden[on ? 'delete' : 'add'](source.title);
        this.arrange();
        this.show();
      }))];
  }

  ways() {
    const step = (label, title, action) => el('button', {title, 'aria-label': title, onclick: action}, label);
    return [step('‹ error', 'Previous error (p)', () => this.toError(-1)), step('error ›', 'Next error (n)', () => this.toError(1)),
      this.event, this.whole = el('button', {hidden: true, onclick: () => this.choose(null)}, 'Show all tracks')];
  }

  /** A pane for every source, or one for all. */
  arrange() {
    const shown = this.shown, {width, height} = this.video;
    const groups = settings.layout === 'over' || !shown.length ? [shown] : shown.map(source => [source]);
    this.panes = groups.map(sources => {
      const picture = el('canvas', {width, height}), masks = el('canvas', {class: 'masks'}), labels = el('canvas', {class: 'labels'});
      const note = el('p', {class: 'note', hidden: true});
      const screen = el('div', {class: 'screen', onclick: event => this.pick(event, sources, screen)}, picture, masks, labels, note);
      screen.style.setProperty('--ratio', width / height);
      const title = sources.map(source => source.title).join(' + ') || 'no masks';
      return {sources, note, screen, context: picture.getContext('2d', {alpha: false}), layer: new Layer(masks, width, height),
        labels: new Labels(labels), node: el('figure', {}, el('figcaption', {}, title), screen)};
    });
    fill(this.stage, this.panes.map(pane => pane.node));
    this.stage.style.setProperty('--panes', this.panes.length);
    this.resize?.disconnect();
    this.resize = new ResizeObserver(() => { if (!this.clock.playing) this.show(); });
    this.resize.observe(this.stage);
    this.update();
  }

  /** What hangs on sources and threshold, but not on the frame. */
  update() {
    const results = this.video.sources.filter(source => !source.isTruth);
    const all = results.flatMap(source => source.tracks), kept = all.filter(track => track.score >= settings.thresh);
    this.threshold.textContent = results.length ? `${settings.thresh.toFixed(2)}: ${kept.length} of ${all.length} tracks` : '';
    this.events = eventsOf(this.shown, settings.thresh);
    this.timeline.render(this.shown, settings.thresh, this.chosen);
    this.whole.hidden = !this.chosen;
    this.tell();
  }

  // -- frames

  /** Draws a frame that is due and counts its masks; null while its picture or its masks are not there. */
  drawDue(frame) {
    this.store.want(frame);
    const there = this.store.at(frame);
    if (!there) return null;
    this.frame = frame;
    return this.paint(there);
  }

  seek(frame) {
    this.clock.pause();
    this.frame = this.clock.frame = Math.min(this.video.frames - 1, Math.max(0, Math.round(frame) || 0));
    this.show();
  }

  /** Draws the present frame, as far as it has come. */
  show() {
    this.store.want(this.frame);
    this.main.dataset.frame = '';
    const there = this.store.at(this.frame);
    if (there) this.paint(there);
    this.tell();
  }

  /** Draws a frame in every pane; the number of masks. */
  paint({picture, masks}) {
    let count = 0;
    for (const pane of this.panes) {
      const isBroken = picture instanceof Error;
      pane.note.hidden = !isBroken;
      if (isBroken) pane.note.textContent = picture.message;
      else pane.context.drawImage(picture, 0, 0, this.video.width, this.video.height);
      if (isBroken) pane.context.fillRect(0, 0, this.video.width, this.video.height);
      const items = pane.sources.flatMap(source => this.items(source, masks[this.video.sources.indexOf(source)] || [],
        source.isTruth && pane.sources.length > 1));
      count += items.length;
      pane.layer.draw(items, settings.opacity);
      pane.labels.draw(settings.labels ? items : [], pane.screen.clientWidth / this.video.width);
    }
    this.main.dataset.frame = this.frame;
    this.slider.value = this.frame;
    this.position.textContent = `${this.frame} / ${this.video.frames - 1}`;
    this.timeline.at(this.frame);
    return count;
  }

  /** The masks of a source that are to be drawn, the best scores on top. */
  items(source, masks, outlineOnly) {
    const {chosen} = this;
    return masks.filter(({place}) => chosen ? chosen.source.title === source.title && chosen.place === place
      : source.isTruth || source.tracks[place].score >= settings.thresh).reverse().map(({place, mask}) => {
      const track = source.tracks[place];
      return {mask, outlineOnly, place, color: track.color, text: nameOf(track, source.isTruth)};
    });
  }

  /** Shows a track alone, or all again. */
  choose(source, place) {
    const isSame = source && this.chosen && this.chosen.source.title === source.title && this.chosen.place === place;
    this.chosen = source && !isSame ? {source, place} : null;
    this.update();
    this.show();
  }

  /** A click into the picture: the topmost mask there, shown alone. */
  pick(event, sources, screen) {
    const box = screen.getBoundingClientRect(), masks = this.store.masks(this.frame) || [];
    const x = Math.floor((event.clientX - box.left) / box.width * this.video.width);
    const y = Math.floor((event.clientY - box.top) / box.height * this.video.height);
    for (const source of [...sources].reverse()) {
      const items = this.items(source, masks[this.video.sources.indexOf(source)] || [], false).reverse();
      const hit = items.find(({mask: {spans}}) => {
        for (let i = 0; i < spans.length; i += 3) if (spans[i] === x && spans[i + 1] <= y && y < spans[i + 2]) return true;
        return false;
      });
      if (hit) return this.choose(source, hit.place);
    }
    if (this.chosen) this.choose(null);
  }

  // -- keys and buttons

  toggle() {
    if (this.clock.playing) return this.clock.pause();
    this.clock.frame = this.frame;
    this.clock.play();
    this.playButton.textContent = '❚❚ Pause';
    say('');
  }

  paused() {
    this.playButton.textContent = '▶ Play';
    const {due, drawn, masks, rate} = this.clock;
    this.frame = this.clock.frame;
    this.show();
    say(`${drawn} of ${due} frames in time at ${rate} frames a second, with ${masks} masks`);
  }

  toError(step) {
    const next = step > 0 ? this.events.find(one => one.frame > this.frame) : this.events.findLast(one => one.frame < this.frame);
    if (next) return this.seek(next.frame);
    const other = this.neighbour(step, true);
    if (other === null) return say('There is no further error in the videos of the list.');
    location.hash = routeTo('video', other, {error: step > 0 ? 'first' : 'last'});
  }

  /** The address, and what is wrong in the present frame. */
  tell() {
    const here = this.events.filter(one => one.frame === this.frame);
    this.event.textContent = here.length ? here.map(one => one.text).join('; ')
      : this.events.length ? `${this.events.length} errors in this video` : '';
    if (this.clock.playing || readRoute().view !== 'video') return;
    keepRoute(routeTo('video', this.row.id,
      {frame: this.frame, thresh: settings.thresh, ...(settings.layout === 'over' && {layout: 'over'})}));
  }

  async copyLink() {
    this.tell();
    try {
      await navigator.clipboard.writeText(location.href);
      say('The address of this frame is copied.');
    } catch {
      say(location.href);
    }
  }

  /** Whether a key was meant for the player. */
  onKey(key) {
    if (!this.video) return false;
    const actions = {' ': () => this.toggle(), ArrowLeft: () => this.seek(this.frame - 1), ArrowRight: () => this.seek(this.frame + 1),
      Home: () => this.seek(0), End: () => this.seek(this.video.frames - 1), n: () => this.toError(1), p: () => this.toError(-1),
      '[': () => this.toVideo(-1), ']': () => this.toVideo(1)};
    actions[key]?.();
    return key in actions;
  }

  toVideo(step) {
    const other = this.neighbour(step, false);
    if (other !== null) location.hash = routeTo('video', other);
  }
}
