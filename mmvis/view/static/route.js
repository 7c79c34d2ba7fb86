// The address behind the '#': which view, of which video, with which settings, so that a link leads to the very frame.

/** {view: 'list' | 'video' | 'compare', id, query}. */
export function readRoute() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  const [view, id] = path.split('/');
  return {view: view || 'list', id: id === undefined ? null : decoded(id), query: new URLSearchParams(query || '')};
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The part of the address from '#' on. */
export function routeTo(view, id, query = {}) {
  const text = new URLSearchParams(query).toString();
  return `#/${view}${id === undefined ? '' : '/' + encodeURIComponent(id)}${text ? '?' + text : ''}`;
}

/** Changes the address without leaving the view. */
export function keepRoute(hash) {
  if (location.hash !== hash) history.replaceState(null, '', hash);
}
