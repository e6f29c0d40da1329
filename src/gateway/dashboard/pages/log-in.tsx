/** The door. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Failure, Heading } from "../parts/basics.js";
import { useDoing } from "../parts/dialog.js";
import { Icon } from "../parts/icons.js";
import { logIn } from "../session.js";

export function LogIn({ why }: { readonly why: string | null }) {
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const { busy, failure, doing } = useDoing();
  const first = useRef<HTMLInputElement>(null);
  useEffect(() => {
    document.title = "Log in · twinstream";
    first.current?.focus();
  }, []);
  return (
    <main class="alone">
      <form
        class="log-in"
        onSubmit={(event) => {
          event.preventDefault();
          doing(() => logIn(username, password));
        }}
      >
        <div class="brand large">
          <Icon name="brand" />
          <span>twinstream</span>
        </div>
        <Heading>Log in</Heading>
        {why !== null && failure === null && (
          <p class="notice" role="status">
            {why}
          </p>
        )}
        <label>
          User name
          <input
            ref={first}
            name="username"
            autoComplete="username"
            autoCapitalize="none"
            spellcheck={false}
            required
            value={username}
            onInput={({ currentTarget }) => setUsername(currentTarget.value)}
          />
        </label>
        <label>
          Password
          <input
            name="password"
            type="password"
            autoComplete="current-password"
            required
            value={password}
            onInput={({ currentTarget }) => setPassword(currentTarget.value)}
          />
        </label>
        {failure !== null && <Failure failure={failure} />}
        <button type="submit" class="primary" disabled={busy}>
          {busy ? "Logging in…" : "Log in"}
        </button>
      </form>
    </main>
  );
}
