/** The way around, and who is logged in: beside the page, or along the edges of a phone. */
import { liveState } from "../live.js";
import { devicesAt, type Place } from "../places.js";
import { logOut, mayOperate, session } from "../session.js";
import { isDark, switchTheme } from "../theme.js";
import { Link } from "./basics.js";
import { Icon, type IconName } from "./icons.js";

interface Way {
  readonly to: Place;
  readonly text: string;
  readonly icon: IconName;
  /** Names of the places it leads to. */
  readonly covers: readonly Place["name"][];
  /** Viewers may not read it. */
  readonly operators?: true;
}

const WAYS: readonly Way[] = [
  { to: { name: "fleet" }, text: "Fleet", icon: "fleet", covers: ["fleet"] },
  {
    to: devicesAt(),
    text: "Devices",
    icon: "devices",
    covers: ["devices", "device"],
  },
  {
    to: { name: "dead-letters", fingerprint: null },
    text: "Dead letters",
    icon: "letters",
    covers: ["dead-letters"],
    operators: true,
  },
  {
    to: { name: "uploads", claim: null },
    text: "Uploads",
    icon: "uploads",
    covers: ["uploads"],
  },
];

export function Sidebar({ at }: { readonly at: Place["name"] }) {
  const now = session.value;
  if (now.state !== "in") return null;
  const operator = mayOperate();
  return (
    <header class="sidebar">
      <div class="brand">
        <Icon name="brand" />
        <span>twinstream</span>
        <Live />
      </div>
      <nav aria-label="Pages">
        <ul>
          {WAYS.filter((way) => operator || way.operators !== true).map(
            ({ to, text, icon, covers }) => (
              <li key={text}>
                <Link
                  to={to}
                  {...(covers.includes(at) && { "aria-current": "page" })}
                >
                  <Icon name={icon} />
                  <span>{text}</span>
                </Link>
              </li>
            ),
          )}
        </ul>
      </nav>
      <div class="who">
        <div class="who-name">
          <strong>{now.me.username}</strong>
          <span class="muted">
            {now.me.tenant} · {now.withLogIn ? now.me.role : "log-in is off"}
          </span>
        </div>
        <Act
          icon={isDark.value ? "sun" : "moon"}
          text={isDark.value ? "Light colours" : "Dark colours"}
          onClick={switchTheme}
        />
        {now.withLogIn && (
          <Act icon="leave" text="Log out" onClick={() => void logOut()} />
        )}
      </div>
    </header>
  );
}

function Act({
  icon,
  text,
  onClick,
}: {
  readonly icon: IconName;
  readonly text: string;
  readonly onClick: () => void;
}) {
  return (
    <button
      type="button"
      class="quiet icon"
      aria-label={text}
      title={text}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  );
}

const SAID = {
  off: null,
  connecting: ["away", "connecting", "Asking for live updates"],
  live: ["on", "live", "Updates are shown as they happen"],
  waiting: [
    "away",
    "reconnecting",
    "The live stream is away; it is tried again, and the page asks every few seconds",
  ],
} as const;

function Live() {
  const said = SAID[liveState.value];
  if (said === null) return null;
  return (
    <span class={`live ${said[0]}`} title={said[2]}>
      {said[1]}
    </span>
  );
}
