// Two results files: where they differ, by video and frame, worst first.
import {el, field, fill, select, share} from './dom.js';
import {keepRoute, routeTo} from './route.js';
import {getComparison, hasChoiceOfThreshold, thumbnailUrl} from './source.js';

const SHOWN_FRAMES = 4;

export class Compare {
  constructor(main) {
    Object.assign(this, {main, first: 0, second: 1, thresh: 0.3, sort: 'difference', answer: null});
  }

  open(table, query) {
    this.table = table;
    this.first = Number(query.get('first') ?? 0);
    this.second = Number(query.get('second') ?? 1);
    this.thresh = Number(query.get('thresh') ?? 0.3);
    const names = table.results.map((file, place) => [place, file.name]);
    this.note = el('p', {class: 'count', id: 'count'});
    this.body = el('div', {class: 'wide'});
    // the file that was there before goes to the other side when both would be the same
    const choose = (side, other) => value => {
      if (Number(value) === this[other]) this[other] = this[side];
      this[side] = Number(value);
      this.open(table, new URLSearchParams({first: this.first, second: this.second, thresh: this.thresh}));
    };
    fill(this.main, el('div', {class: 'controls'},
      select('first', names, this.first, choose('first', 'second')), select('second', names, this.second, choose('second', 'first')),
      hasChoiceOfThreshold && field('scores from', {type: 'number', id: 'thresh', min: 0, max: 1, step: 0.05, value: this.thresh,
        onchange: event => { this.thresh = Number(event.target.value) || 0; this.ask(); }}),
      select('worst first by', [['difference', 'difference'], ['identities', 'other identities'],
        ...(table.hasTruth ? [['AP', 'AP of the second below the first']] : [])], this.sort,
      value => { this.sort = value; this.render(); })), this.note, this.body);
    this.ask();
  }

  close() {
    clearTimeout(this.timer);
    this.closed = true;
  }

  async ask() {
    clearTimeout(this.timer);
    const asked = this.asked = {};
    keepRoute(routeTo('compare', undefined, {first: this.first, second: this.second, thresh: this.thresh}));
    const answer = await getComparison(this.first, this.second, this.thresh)
      .catch(error => ({videos: [], sentence: error.message, complete: true}));
    if (this.closed || this.asked !== asked) return;
    this.answer = answer;
    this.render();
    if (!answer.complete) this.timer = setTimeout(() => this.ask(), 400);
  }

  /** What is known of the numbers has changed. */
  renew(table) {
    this.table = table;
    if (this.answer) this.render();
  }

  render() {
    const {answer, table} = this;
    const rows = answer.videos.map(video => {
      const [a, b] = [this.first, this.second].map(file => table.videos[video.place].results[file]?.AP ?? null);
      return {...video, row: table.videos[video.place], a, b, loss: a === null || b === null ? -Infinity : a - b};
    });
    const key = {difference: row => row.difference, identities: row => row.identities.length, AP: row => row.loss}[this.sort];
    rows.sort((x, y) => key(y) - key(x));
    this.note.textContent = answer.sentence || `${rows.length} videos compared${answer.complete ? '' : ' so far …'}. `
      + 'Difference: 0 where the masks are the same, 1 where they have nothing in common.';
    const titles = ['', 'video', 'difference', 'other identities', ...(table.hasTruth ? ['AP of the first', 'AP of the second'] : []),
      'frame by frame', 'worst frames'];
    fill(this.body, el('table', {class: 'videos'}, el('thead', {}, el('tr', {}, titles.map(title => el('th', {scope: 'col'}, title)))),
      el('tbody', {}, rows.map(row => this.row(row)))));
  }

  row({row, place, difference, identities, frames, a, b}) {
    const link = (frame, text) => el('a', {href: routeTo('video', row.id, {frame, thresh: this.thresh})}, text);
    const worst = frames.map((value, frame) => [value, frame]).filter(([value]) => value > 0).sort((x, y) => y[0] - x[0]);
    return el('tr', {}, el('td', {}, el('img', {src: thumbnailUrl(place), alt: '', loading: 'lazy', width: 80, height: 45})),
      el('th', {scope: 'row'}, link(worst.length ? worst[0][1] : 0, row.name)), el('td', {class: 'number'}, share(difference)),
      el('td', {class: 'number'}, String(identities.length)),
      this.table.hasTruth && [el('td', {class: 'number'}, share(a)), el('td', {class: 'number'}, share(b))],
      el('td', {}, this.strip(row, frames)),
      el('td', {class: 'frames'}, worst.slice(0, SHOWN_FRAMES).map(([value, frame]) => [link(frame, `${frame}`), ` ${share(value)}  `])));
  }

  /** A column for every frame, the higher the more they differ; a click leads there. */
  strip(row, frames) {
    const columns = frames.map(value => {
      const column = el('i');
      column.style.height = `${Math.round(100 * value)}%`;
      return column;
    });
    const strip = el('div', {class: 'strip', title: 'difference of each frame', onclick: event => {
      const box = strip.getBoundingClientRect();
      const frame = Math.min(frames.length - 1, Math.floor((event.clientX - box.left) / box.width * frames.length));
      location.hash = routeTo('video', row.id, {frame, thresh: this.thresh});
    }}, columns);
    return strip;
  }
}
