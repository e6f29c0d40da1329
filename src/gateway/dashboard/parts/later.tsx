/** A part of the page that is loaded when it is needed. */
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Empty, Loading } from "./basics.js";

export function Later<T>({
  what,
  load,
  children,
}: {
  readonly what: string;
  /** The same function each time. */
  readonly load: () => Promise<T>;
  readonly children: (loaded: T) => ComponentChildren;
}) {
  const [loaded, setLoaded] = useState<{ readonly part: T } | null>(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    load().then(
      (part) => setLoaded({ part }),
      () => setFailed(true),
    );
  }, [load]);
  if (loaded !== null) return <>{children(loaded.part)}</>;
  if (!failed) return <Loading what={what} />;
  return (
    <Empty title="This part of the page could not be loaded">
      <p>The gateway does not answer, or has a newer page.</p>
      <button type="button" onClick={() => location.reload()}>
        Reload the page
      </button>
    </Empty>
  );
}
