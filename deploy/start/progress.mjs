// The live line, from the processor's own metrics; it fits 80 columns.

/**
 * Sums the samples of each metric.
 * @param {string} text Prometheus' exposition format
 * @returns {Map<string, number>} by metric name
 */
function sumMetrics(text) {
  const sums = new Map();
  for (const line of text.split("\n")) {
    const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!sample) continue;
    const [, name = "", labels = "", value] = sample;
    // A lost connection is counted as an error too, but is no dead letter.
    if (labels.includes('reason="mqtt_error"')) continue;
    sums.set(name, (sums.get(name) ?? 0) + Number(value));
  }
  return sums;
}

/**
 * @param {string} url of the processor's /metrics
 * @returns {() => Promise<string>} takes a sample, answers the line since the
 *   last one
 */
export function progressOf(url) {
  /** @type {Map<string, number> | null} */
  let before = null;
  let beforeAt = 0;
  let deadLetters = 0;

  return async function sample() {
    const now = await scrape(url);
    if (now === null) return "the processor does not answer";
    const seconds = (Date.now() - beforeAt) / 1000;
    /** How much a counter grew: all of it, where the processor has begun anew. @param {string} name */
    const grown = (name) => {
      const value = now.get(name) ?? 0;
      const old = before?.get(name) ?? 0;
      return value >= old ? value - old : value;
    };
    /** @param {string} name */
    const rate = (name) => (before ? number(grown(name) / seconds) : "–");

    deadLetters += grown("ingest_errors_total");
    const line = [
      `in ${rate("ingest_messages_total")} msg/s`,
      `stored ${rate("ingest_points_total")} points/s`,
      `lag ${number(now.get("consumer_lag") ?? 0)}`,
      `${number(now.get("devices_online") ?? 0)} online`,
      `${number(deadLetters)} dead letters`,
    ].join(" · ");
    before = now;
    beforeAt = Date.now();
    return line;
  };
}

/** @param {string} url @returns {Promise<Map<string, number> | null>} */
async function scrape(url) {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    return answer.ok ? sumMetrics(await answer.text()) : null;
  } catch {
    return null;
  }
}

/** @param {number} value */
function number(value) {
  return Math.round(value).toLocaleString("en-US");
}
