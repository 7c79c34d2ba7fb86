// The page as a whole: which view is open, the keys, and the news of the server.
import {Compare} from './compare.js';
import {el, fill, say} from './dom.js';
import {List, chosenVideos, hasErrors} from './list.js';
import {Player} from './player.js';
import {readRoute, routeTo} from './route.js';
import {getList} from './source.js';

const PAUSE = 700;  // milliseconds between questions for news
const main = document.getElementById('main');
let table = null, view = null;

/** Number of the video before or behind this one in the list as it is filtered and sorted; null at its end. */
function neighbourOf(number, step, withErrors) {
  const places = chosenVideos(table);
  for (let at = places.indexOf(number) + step; at >= 0 && at < places.length; at += step)
    if (!withErrors || hasErrors(table.videos[places[at]])) return table.videos[places[at]].id;
  return null;
}

function header(route) {
  const link = (name, text) => el('a', {href: routeTo(name), 'aria-current': route.view === name ? 'page' : null}, text);
  fill(document.getElementById('top'), el('strong', {}, 'mmvis view'), el('span', {class: 'title'}, table.title),
    el('nav', {'aria-label': 'Views'}, link('list', 'Videos'), table.results.length > 1 && link('compare', 'Compare')));
  document.title = `${route.id === null ? table.title : `video ${route.id}`} · mmvis view`;
}

async function open() {
  const route = readRoute();
  view?.close?.();
  view = null;
  main.dataset.frame = '';
  header(route);
  say('');
  try {
    if (route.view === 'video') {
      const number = table.videos.findIndex(video => String(video.id) === route.id);
      if (number < 0) throw new Error(`There is no video ${route.id} here.`);
      view = new Player(main, table, number, (step, withErrors) => neighbourOf(number, step, withErrors));
      await view.open(route.query);
    } else if (route.view === 'compare' && table.results.length > 1) {
      view = new Compare(main);
      await view.open(table, route.query);
    } else {
      view = new List(main);
      view.open(table);
    }
  } catch (error) {
    fill(main, el('p', {class: 'failure'}, error.message));
  }
}

async function news() {
  try {
    const next = await getList(table.version);
    if (next) {
      table = next;
      await (view instanceof Player ? view.refresh() : view instanceof List ? view.render(table) : view?.renew(table));
    }
    if (!table.complete) setTimeout(news, PAUSE);
  } catch (error) {
    say(error.message);
    setTimeout(news, 5 * PAUSE);
  }
}

document.addEventListener('keydown', event => {
  if (!(view instanceof Player) || event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target, isChoice = target.matches('select, textarea, input:not([type=range]):not([type=checkbox])');
  const isOwn = target.matches('button, input[type=checkbox], a, summary') && event.key === ' ';
  if (isChoice || isOwn || (target.matches('input[type=range]') && target.id !== 'frame' && event.key.startsWith('Arrow'))) return;
  if (view.onKey(event.key)) event.preventDefault();
});
window.addEventListener('hashchange', open);

async function begin() {
  try {
    table = await getList(-1);
  } catch (error) {
    return fill(main, el('p', {class: 'failure'}, error.message));
  }
  await open();
  if (!table.complete) setTimeout(news, PAUSE);
}

begin();
