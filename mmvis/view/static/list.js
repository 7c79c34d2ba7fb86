// The table of videos: sorted and filtered by what is known of them.
import {el, field, fill, select, share} from './dom.js';
import {routeTo} from './route.js';
import {thumbnailUrl} from './source.js';

export const KINDS = ['class', 'spatial', 'temporal', 'duplicate', 'both', 'background', 'missed'];
// What stays when one comes back to the list.
const chosen = {text: '', label: '', kind: '', from: '', to: '', file: 0, sort: 'place', down: false};

const errorsOf = numbers => numbers.errors ? KINDS.reduce((sum, kind) => sum + numbers.errors[kind], 0) : null;

/** Columns: title, value to sort by, text. Only those of which anything is known. */
function columnsOf(table) {
  const of = video => video.results[chosen.file] || {};
  const columns = [{key: 'name', title: 'video', value: video => video.name},
    {key: 'frames', title: 'frames', value: video => video.frames}];
  if (table.hasTruth) columns.push({key: 'objects', title: 'objects', value: video => video.objects});
  if (table.results.length) {
    columns.push({key: 'tracks', title: 'tracks', value: video => of(video).tracks},
      {key: 'best', title: 'best score', value: video => of(video).best, text: share});
    if (table.hasTruth) columns.push({key: 'AP', title: 'AP', value: video => of(video).AP, text: share},
      {key: 'HOTA', title: 'HOTA', value: video => of(video).HOTA, text: share},
      {key: 'IDSW', title: 'switches', value: video => of(video).IDSW},
      {key: 'errors', title: 'errors', value: video => errorsOf(of(video)), text: (value, video) => value === null ? '-' :
        KINDS.filter(kind => of(video).errors[kind]).map(kind => `${of(video).errors[kind]} ${kind}`).join(', ') || 'none'});
  }
  return columns;
}

/** Places of the videos that pass the filter, in the order of the table. */
export function chosenVideos(table) {
  const of = video => video.results[chosen.file] || {};
  const places = table.videos.map((_, place) => place).filter(place => {
    const video = table.videos[place];
    return (!chosen.text || `${video.name} ${video.id}`.toLowerCase().includes(chosen.text.toLowerCase()))
      && (!chosen.label || video.labels.includes(chosen.label))
      && (!chosen.kind || (chosen.kind === 'switched' ? of(video).IDSW : of(video).errors?.[chosen.kind]))
      && (chosen.from === '' || video.frames >= Number(chosen.from)) && (chosen.to === '' || video.frames <= Number(chosen.to));
  });
  const column = columnsOf(table).find(one => one.key === chosen.sort);
  if (!column) return chosen.down ? places.reverse() : places;
  const direction = chosen.down ? -1 : 1, isNone = value => value === null || value === undefined;
  return places.sort((a, b) => {
    const [x, y] = [column.value(table.videos[a]), column.value(table.videos[b])];
    if (isNone(x) || isNone(y)) return isNone(x) - isNone(y);
    return direction * (typeof x === 'string' ? x.localeCompare(y, undefined, {numeric: true}) : x - y);
  });
}

/** Whether the list knows of an error in a video. */
export function hasErrors(video) {
  return video.results.some(numbers => errorsOf(numbers) || numbers.IDSW);
}

export class List {
  constructor(main) {
    this.main = main;
    this.body = el('tbody');
    this.head = el('thead');
    this.count = el('p', {class: 'count', id: 'count'});
  }

  open(table) {
    const set = name => event => { chosen[name] = event.target ? event.target.value : event; this.render(this.table); };
    this.summary = el('div');
    this.labels = el('div', {class: 'field-slot'});
    fill(this.main, this.summary, el('div', {class: 'controls', role: 'search'},
      field('name', {type: 'search', id: 'text', value: chosen.text, oninput: set('text')}), this.labels,
      table.hasTruth && table.results.length > 0 && select('error',
        [['', 'any or none'], ...[...KINDS, 'switched'].map(kind => [kind, kind])], chosen.kind, set('kind')),
      field('frames from', {type: 'number', id: 'from', min: 0, value: chosen.from, oninput: set('from')}),
      field('to', {type: 'number', id: 'to', min: 0, value: chosen.to, oninput: set('to')}),
      table.results.length > 1 && select('numbers of', table.results.map((file, place) => [place, file.name]), chosen.file,
        value => set('file')(Number(value)))),
    this.count, el('div', {class: 'wide'}, el('table', {class: 'videos'}, this.head, this.body)));
    this.render(table);
  }

  /** Writes the table anew; what has the focus keeps it. */
  render(table) {
    this.table = table;
    const classes = table.classes.join('\n');
    if (this.classes !== classes) {
      this.classes = classes;
      fill(this.labels, select('class', [['', 'any'], ...table.classes.map(name => [name, name])], chosen.label,
        value => { chosen.label = value; this.render(this.table); }));
    }
    fill(this.summary, summaryOf(table));
    const focused = document.activeElement?.dataset?.key, columns = columnsOf(table), places = chosenVideos(table);
    fill(this.head, el('tr', {}, el('th', {scope: 'col'}, el('span', {class: 'hidden'}, 'picture')), columns.map(column => {
      const isSorted = chosen.sort === column.key;
      return el('th', {scope: 'col', 'aria-sort': isSorted ? (chosen.down ? 'descending' : 'ascending') : null},
        el('button', {data: {key: `sort ${column.key}`}, onclick: () => {
          chosen.down = isSorted ? !chosen.down : ['errors', 'IDSW'].includes(column.key);
          chosen.sort = column.key;
          this.render(this.table);
        }}, column.title, isSorted ? (chosen.down ? ' ▾' : ' ▴') : ''));
    })));
    fill(this.body, places.map(place => rowOf(table.videos[place], place, columns)));
    this.count.textContent = places.length === table.videos.length ? `${places.length} videos` :
      `${places.length} of ${table.videos.length} videos`;
    if (focused) [...this.main.querySelectorAll('[data-key]')].find(node => node.dataset.key === focused)?.focus({preventScroll: true});
  }
}

function rowOf(video, place, columns) {
  const href = routeTo('video', video.id);
  const cells = columns.map(({key, value, text}) => {
    const known = value(video), shown = text ? text(known ?? null, video) : known ?? '-';
    return key === 'name' ? el('th', {scope: 'row'}, el('a', {href, data: {key: `video ${place}`}}, shown))
      : el('td', {class: key === 'errors' ? null : 'number'}, String(shown));
  });
  const picture = el('img', {src: thumbnailUrl(place), alt: '', loading: 'lazy', width: 80, height: 45});
  return el('tr', {}, el('td', {}, el('a', {href, tabIndex: -1, 'aria-hidden': 'true'}, picture)), cells);
}

const OVERALL = ['AP', 'AP50', 'AP75', 'AR10', 'HOTA', 'IDF1', 'IDSW'];

/** Every results file: its numbers, or the sentence that says what is wrong with it. */
function summaryOf(table) {
  if (!table.results.length) return table.failure ? el('p', {class: 'failure'}, table.failure) : null;
  const rows = table.results.map(file => el('tr', {}, el('th', {scope: 'row'}, file.name),
    table.hasTruth && OVERALL.map(name => el('td', {class: 'number'}, name in file.overall
      ? (name === 'IDSW' ? String(file.overall[name]) : share(file.overall[name])) : file.evaluated ? '-' : '…'))));
  const sentences = table.results.flatMap(file => file.sentence ? [file.sentence] : file.notes);
  const isBusy = !table.failure && table.results.some(file => file.state === 'reading' || !file.evaluated);
  return [table.failure && el('p', {class: 'failure'}, table.failure),
    ...[...new Set(sentences)].map(sentence => el('p', {class: 'failure'}, sentence)),
    el('div', {class: 'wide'}, el('table', {class: 'overall'}, el('thead', {}, el('tr', {}, el('th', {scope: 'col'}, 'results file'),
      table.hasTruth && OVERALL.map(name => el('th', {scope: 'col'}, name === 'IDSW' ? 'switches' : name)))), el('tbody', {}, rows))),
    isBusy && el('p', {class: 'count'}, 'Reading and computing …')];
}
