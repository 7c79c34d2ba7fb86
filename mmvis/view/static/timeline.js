// The time line: a bar for every annotated object (matched, missed, switched) and for every track, to be clicked into.
import {el, fill} from './dom.js';
import {nameOf, switchesOf, timelineOf} from './events.js';

export class Timeline {
  /** `seek(frame)` and `solo(source, place)` are called on clicks; `numFrames` of the video. */
  constructor(numFrames, seek, solo) {
    Object.assign(this, {numFrames, seek, solo});
    this.head = el('div', {class: 'playhead', 'aria-hidden': 'true'});
    this.rows = el('div', {class: 'rows'});
    this.node = el('section', {class: 'timeline', 'aria-label': 'Time line'}, this.rows, this.head);
  }

  /** Rows of the sources that are shown; `chosen`: the track that is shown alone, if one is. */
  render(sources, thresh, chosen) {
    const truth = sources.find(source => source.isTruth), groups = [];
    for (const source of sources) {
      const lines = source.isTruth ? [] : timelineOf(source, truth);
      if (lines.length) {
        const byEntry = new Map(source.tracks.map(track => [track.entry, track]));
        groups.push(this.group(`ground truth as ${source.title} has it`, lines.map(({object, runs}) =>
          this.row(nameOf(object, true), object, this.matched(runs, byEntry), truth, chosen))));
      }
      const wrong = new Map((source.wrong || []).map(([entry, kind]) => [entry, kind]));
      const own = source.tracks.filter(track => source.isTruth || track.score >= thresh);
      if (source.isTruth && sources.some(one => !one.isTruth && one.timeline)) continue;
      groups.push(this.group(source.isTruth ? 'ground truth' : `tracks of ${source.title}`, own.map(track => {
        const kind = wrong.get(track.entry);
        return this.row(nameOf(track, source.isTruth) + (kind ? ` · ${kind}` : ''), track,
          track.frames.map(([start, end]) => this.bar(start, end, kind ? 'wrong' : 'there', track.color,
            `${nameOf(track, source.isTruth)}${kind ? `, error: ${kind}` : ''}`)), source, chosen);
      })));
    }
    fill(this.rows, groups);
  }

  group(title, rows) {
    return el('details', {open: rows.length <= 24}, el('summary', {}, `${title} (${rows.length})`), rows);
  }

  row(name, track, bars, source, chosen) {
    const place = source.tracks.indexOf(track), isChosen = chosen && chosen.source === source && chosen.place === place;
    const button = el('button', {class: 'rowname', 'aria-pressed': String(Boolean(isChosen)), title: `${name}: show it alone`,
      onclick: () => this.solo(source, place)}, el('i', {class: 'swatch'}), name);
    button.firstChild.style.background = track.color;
    const lane = el('div', {class: 'lane', onclick: event => {
      const box = lane.getBoundingClientRect();
      this.seek(Math.min(this.numFrames - 1, Math.max(0, Math.floor((event.clientX - box.left) / box.width * this.numFrames))));
    }}, bars);
    return el('div', {class: 'row'}, button, lane);
  }

  /** Bars of an annotated object: in the colour of the track that is matched, low where it is missed, a mark at switches. */
  matched(runs, byEntry) {
    const bars = runs.map(([start, end, result]) => {
      const track = byEntry.get(result);
      return result < 0 ? this.bar(start, end, 'missed', null, 'missed')
        : this.bar(start, end, 'there', track ? track.color : '#888888', track ? `matched by ${nameOf(track, false)}` : 'matched');
    });
    for (const frame of switchesOf(runs)) bars.push(this.bar(frame, frame, 'switch', null, 'identity switched'));
    return bars;
  }

  bar(start, end, kind, color, text) {
    const span = end > start + 1 ? `frames ${start} to ${end - 1}` : `frame ${start}`;
    const node = el('div', {class: `bar ${kind}`, title: `${span}: ${text}`});
    node.style.left = `${100 * start / this.numFrames}%`;
    if (end > start) node.style.width = `${100 * (end - start) / this.numFrames}%`;
    if (color) node.style.background = color;
    return node;
  }

  /** Moves the line that marks the present frame. */
  at(frame) {
    this.head.style.setProperty('--at', (frame + 0.5) / this.numFrames);
  }
}
