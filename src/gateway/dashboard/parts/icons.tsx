/** Line icons on a grid of 24; they say nothing that text beside them does not. */

const PATHS = {
  brand:
    "M3 9c3.5-4.5 5.5-4.5 9 0s5.5 4.5 9 0M3 16c3.5-4.5 5.5-4.5 9 0s5.5 4.5 9 0",
  fleet: "M4 4h7v7H4zM13 4h7v4h-7zM13 11h7v9h-7zM4 14h7v6H4z",
  devices:
    "M7 3h10a1 1 0 0 1 1 1v16a1 1 0 0 1-1 1H7a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1zM10 7h4M12 17h.01",
  letters: "M3 6h18v12H3zM3 7l9 7 9-7",
  uploads: "M12 16V4M7 9l5-5 5 5M4 16v4h16v-4",
  why: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM9.6 9.2a2.5 2.5 0 0 1 4.9.7c0 1.7-2.5 1.9-2.5 3.6M12 17h.01",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4",
  moon: "M20 14.5A8.5 8.5 0 1 1 9.5 4a7 7 0 0 0 10.5 10.5z",
  leave: "M10 4H5v16h5M14 8l4 4-4 4M8 12h10",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg class="glyph" viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
