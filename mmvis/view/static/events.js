// What is wrong in a video and when, from the evaluator's time line and its errors: where 'n' and 'p' lead.

/** Name of an object or a track, as labels and rows have it. */
export function nameOf(track, isTruth) {
  return `${track.number} ${track.label}` + (isTruth ? '' : ` ${track.score.toFixed(2)}`);
}

/** The time line of a source, with the annotated objects instead of their numbers: [{object, runs}]. */
export function timelineOf(source, truth) {
  if (!source.timeline || !truth) return [];
  const objects = new Map(truth.tracks.map(track => [track.entry, track]));
  return source.timeline.filter(([entry]) => objects.has(entry)).map(([entry, runs]) => ({object: objects.get(entry), runs}));
}

/** Frames in which the identity on an object is another than before. */
export function switchesOf(runs) {
  const frames = [];
  let last = -1;
  for (const [start, , result] of runs) {
    if (result >= 0 && last >= 0 && result !== last) frames.push(start);
    if (result >= 0) last = result;
  }
  return frames;
}

/** [{frame, kind, text}] of the sources that are shown, by frame. Wrong tracks below the threshold are left out. */
export function eventsOf(sources, thresh) {
  const truth = sources.find(source => source.isTruth), found = [];
  const results = sources.filter(source => !source.isTruth);
  for (const source of results) {
    const of = results.length > 1 ? ` (${source.title})` : '';
    for (const {object, runs} of timelineOf(source, truth)) {
      const name = nameOf(object, true);
      for (const [start, , result] of runs) if (result === -1) found.push({frame: start, kind: 'missed', text: `missed: ${name}${of}`});
      for (const frame of switchesOf(runs)) found.push({frame, kind: 'switched', text: `identity switched: ${name}${of}`});
    }
    const byEntry = new Map(source.tracks.map(track => [track.entry, track]));
    for (const [entry, kind] of source.wrong || []) {
      const track = byEntry.get(entry);
      if (track && track.score >= thresh && track.frames.length)
        found.push({frame: track.frames[0][0], kind, text: `${kind}: ${nameOf(track, false)}${of}`});
    }
  }
  return found.sort((a, b) => a.frame - b.frame);
}
