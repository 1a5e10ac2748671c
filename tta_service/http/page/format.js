// Numbers as the page shows them.
export const percent = (share) => `${(100 * share).toFixed(1)}%`;
export const number = (value) => (value ?? 0).toFixed(2);
export const milliseconds = (seconds = 0) => (seconds >= 1 ? Math.round(seconds * 1000).toLocaleString("en") : (seconds * 1000).toFixed(1));

export function bytes(count) {
  const step = Math.min(3, Math.max(0, Math.floor(Math.log2(Math.max(1, count)) / 10)));
  return `${(count / 1024 ** step).toFixed(step ? 1 : 0)} ${["B", "KiB", "MiB", "GiB"][step]}`;
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}
