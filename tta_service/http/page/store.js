// Values that several components show.
import { useEffect, useState } from "./vendor/preact-htm.js";

export function makeStore(value) {
  const listeners = new Set();
  return {
    get value() {
      return value;
    },
    set(change) {
      value = { ...value, ...change };
      for (const listener of [...listeners]) listener(value);
    },
    use() {
      const [shown, show] = useState(value);
      useEffect(() => {
        show(value);
        listeners.add(show);
        return () => listeners.delete(show);
      }, []);
      return shown;
    },
  };
}
