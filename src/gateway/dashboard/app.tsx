/** The frame of the page: who is in, the way around, and the place one is at. */
import { useEffect } from "preact/hooks";
import { place } from "./navigation.js";
import { LogIn } from "./pages/log-in.js";
import { DeadLetters } from "./pages/dead-letters.js";
import { Devices } from "./pages/devices.js";
import { Fleet } from "./pages/fleet.js";
import { Uploads } from "./pages/uploads.js";
import { Empty, Heading, Link, Loading } from "./parts/basics.js";
import { Later } from "./parts/later.js";
import { Sidebar } from "./parts/sidebar.js";
import { Toasts } from "./parts/toasts.js";
import type { Place } from "./places.js";
import { session, start } from "./session.js";

export function App() {
  const now = session.value;
  switch (now.state) {
    case "starting":
      return (
        <main class="alone">
          <Loading what="your session" />
        </main>
      );
    case "unreachable":
      return (
        <main class="alone">
          <Empty title="The gateway cannot be reached">
            <p>{now.why}</p>
            <button type="button" onClick={() => void start()}>
              Try again
            </button>
          </Empty>
        </main>
      );
    case "out":
      return <LogIn why={now.why} />;
    case "in":
      return <Shell />;
  }
}

/** With its charts it is half of the page, and nobody looks at it first. */
const devicePage = () => import("./pages/device.js");

function Shell() {
  const at = place.value;
  useEffect(() => {
    document.title = `${titleOf(at)} · twinstream`;
  }, [at]);
  useEffect(() => {
    // While nothing else is to be done, so that it is there when it is asked for.
    const timer = setTimeout(() => void devicePage().catch(() => null), 1500);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div class="shell">
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <Sidebar at={at.name} />
      <main id="main" tabIndex={-1}>
        <PageAt at={at} />
      </main>
      <Toasts />
    </div>
  );
}

function PageAt({ at }: { readonly at: Place }) {
  switch (at.name) {
    case "fleet":
      return <Fleet />;
    case "devices":
      return <Devices at={at} />;
    case "device":
      return (
        <Later what="the device page" load={devicePage}>
          {({ Device }) => <Device key={at.id} id={at.id} range={at.range} />}
        </Later>
      );
    case "dead-letters":
      return <DeadLetters fingerprint={at.fingerprint} />;
    case "uploads":
      return <Uploads claim={at.claim} />;
    case "nowhere":
      return (
        <>
          <Heading>There is nothing here</Heading>
          <Empty title={`No page stands at ${at.path}`}>
            <Link to={{ name: "fleet" }}>Go to the fleet</Link>
          </Empty>
        </>
      );
  }
}

function titleOf(at: Place): string {
  switch (at.name) {
    case "fleet":
      return "Fleet";
    case "devices":
      return "Devices";
    case "device":
      return at.id;
    case "dead-letters":
      return "Dead letters";
    case "uploads":
      return "Uploads";
    case "nowhere":
      return "Nothing here";
  }
}
