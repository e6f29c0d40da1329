/** The small parts that every page is made of. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Asked } from "../asked.js";
import type { Refused } from "../http.js";
import { nowMs } from "../clock.js";
import { agoText, exactText, momentText } from "../format.js";
import { arrivals, go } from "../navigation.js";
import { type Place, urlOf } from "../places.js";

type Children = { readonly children?: ComponentChildren };

/** A link within the page; with a modifier key it is the browser's. */
export function Link({
  to,
  children,
  ...rest
}: {
  readonly to: Place;
  readonly class?: string;
  readonly "aria-current"?: "page";
} & Children) {
  return (
    <a
      {...rest}
      href={urlOf(to)}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
          return;
        event.preventDefault();
        go(to);
      }}
    >
      {children}
    </a>
  );
}

/** A time in local time, exact on hover and for readers. */
export function Moment({ iso }: { readonly iso: string | null }) {
  if (iso === null) return <span class="muted">never</span>;
  return (
    <time dateTime={iso} title={exactText(iso)}>
      {momentText(Date.parse(iso), nowMs.value)}
    </time>
  );
}

export function Ago({ iso }: { readonly iso: string | null }) {
  if (iso === null) return <span class="muted">never</span>;
  return (
    <time dateTime={iso} title={exactText(iso)}>
      {agoText(Date.parse(iso), nowMs.value)}
    </time>
  );
}

export type Tone = "good" | "bad" | "warn" | "info" | "quiet";

/** A state in a word; the colour says nothing that the word does not. */
export function Badge({
  tone,
  title,
  children,
}: { readonly tone: Tone; readonly title?: string } & Children) {
  return (
    <span class={`badge ${tone}`} {...(title !== undefined && { title })}>
      {children}
    </span>
  );
}

export function Presence({ online }: { readonly online: boolean }) {
  return (
    <Badge tone={online ? "good" : "quiet"}>
      {online ? "online" : "offline"}
    </Badge>
  );
}

export function Card({
  title,
  aside,
  flush = false,
  children,
}: {
  readonly title: string;
  readonly aside?: ComponentChildren;
  /** The content goes to the edges: tables, lists. */
  readonly flush?: boolean;
} & Children) {
  const id = `card-${title.toLowerCase().replaceAll(/[^a-z]+/g, "-")}`;
  return (
    <section class={`card ${flush ? "flush" : ""}`} aria-labelledby={id}>
      <header class="card-head">
        <h2 id={id}>{title}</h2>
        {aside !== undefined && <div class="card-aside">{aside}</div>}
      </header>
      {children}
    </section>
  );
}

/** What stands where there is nothing: what that means, and what to do. */
export function Empty({
  title,
  children,
}: { readonly title: string } & Children) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children !== undefined && <div class="muted">{children}</div>}
    </div>
  );
}

export function Loading({ what }: { readonly what: string }) {
  return (
    <div class="loading" role="status">
      <span class="spinner" aria-hidden="true" /> Loading {what}…
    </div>
  );
}

/** @param again what to do about it, where trying again may help */
export function Failure({
  failure,
  again,
}: {
  readonly failure: Refused;
  readonly again?: () => void;
}) {
  return (
    <div class="failure" role="alert">
      <p>{failure.message}</p>
      {failure.errors.length > 0 && (
        <ul>
          {failure.errors.map(({ path, reason }) => (
            <li key={path}>
              <code>{path}</code> {reason}
            </li>
          ))}
        </ul>
      )}
      {again !== undefined && (
        <button type="button" class="small" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

/**
 * What the gateway was asked for: on its way, refused, or there; what was read before stays while it cannot be read again,
 * and is said to be getting old.
 */
export function Answered<T>({
  asked: { value, failure, again },
  what,
  children,
}: {
  readonly asked: Asked<T>;
  /** What is loading. */
  readonly what: string;
  readonly children: (value: T) => ComponentChildren;
}) {
  if (value === null)
    return failure === null ? (
      <Loading what={what} />
    ) : (
      <Failure failure={failure} again={again} />
    );
  return (
    <>
      {failure !== null && (
        <p class="notice warn" role="status">
          Not up to date: {failure.message}
        </p>
      )}
      {children(value)}
    </>
  );
}

/** One of a few. */
export function Segments<T extends string>({
  label,
  options,
  chosen,
  choose,
}: {
  readonly label: string;
  readonly options: readonly {
    readonly key: T;
    readonly text: ComponentChildren;
    /** For readers, where the text is short. */
    readonly spoken?: string;
  }[];
  readonly chosen: T;
  readonly choose: (key: T) => void;
}) {
  return (
    <div class="segments" role="group" aria-label={label}>
      {options.map(({ key, text, spoken }) => (
        <button
          type="button"
          key={key}
          aria-pressed={key === chosen}
          {...(spoken !== undefined && { title: spoken })}
          onClick={() => choose(key)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}

export function More({
  when,
  show,
}: {
  readonly when: boolean;
  readonly show: () => void;
}) {
  if (!when) return null;
  return (
    <button type="button" class="small more" onClick={show}>
      Show more
    </button>
  );
}

/** The last arrival that a heading has taken the focus for. */
let announced = 0;

/** Takes the focus when it is shown first after an arrival, so that a reader is told where it is now; a page's own loading is none. */
export function Heading({ children }: Children) {
  const self = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (arrivals.peek() === announced) return;
    announced = arrivals.peek();
    self.current?.focus();
  }, []);
  return (
    <h1 id="heading" tabIndex={-1} ref={self}>
      {children}
    </h1>
  );
}
