// Where the data come from: the server, or, in an exported folder, scripts beside the page (a page that is opened as a file
// may not fetch).

const isExport = 'export' in document.documentElement.dataset;
const waiting = new Map();

// What a script of an exported folder calls.
if (isExport) window.mmvisData = (name, value) => waiting.get(name)?.(value);

function loadScript(name) {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script');
    waiting.set(name, value => { waiting.delete(name); script.remove(); resolve(value); });
    script.onerror = () => { waiting.delete(name); script.remove(); reject(new Error(`data/${name}.js is missing from this folder.`)); };
    script.src = `data/${name}.js`;
    document.head.append(script);
  });
}

async function ask(path) {
  let answer;
  try {
    answer = await fetch(path);
  } catch {
    throw new Error('The server does not answer: has mmvis view ended?');
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let sentence = text;
  try { sentence = JSON.parse(text).error; } catch { /* plain text */ }
  throw new Error(sentence || `The server answers ${answer.status}.`);
}

async function get(name, path) {
  return isExport ? loadScript(name) : (await ask(path)).json();
}

/** The table of videos; null when it is still that of this version. */
export async function getList(version) {
  if (isExport) return loadScript('list');
  const answer = await ask(`api/list?version=${version}`);
  return answer.status === 204 ? null : answer.json();
}

export const getVideo = number => get(`video-${number}`, `api/video/${number}`);
export const getMasks = (number, block) => get(`masks-${number}-${block}`, `api/masks/${number}/${block}`);
export function getComparison(first, second, thresh) {
  const [one, other] = [Math.min(first, second), Math.max(first, second)];
  return get(`compare-${one}-${other}`, `api/compare/${one}/${other}/${thresh.toFixed(3)}`);
}
export const thumbnailUrl = number => isExport ? `thumbs/${number}.jpg` : `api/thumb/${number}`;
export const hasChoiceOfThreshold = !isExport;

/** One frame, decoded, as an ImageBitmap. */
export async function getPicture(number, frame) {
  if (!isExport) return createImageBitmap(await (await ask(`api/frame/${number}/${frame}`)).blob());
  const image = new Image();
  image.src = `frames/${number}/${frame}.jpg`;
  try {
    await image.decode();
  } catch {
    throw new Error(`frames/${number}/${frame}.jpg is missing from this folder, or damaged.`);
  }
  return createImageBitmap(image);
}
