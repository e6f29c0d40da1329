/** The page's beginning. */
import { render } from "preact";
import { App } from "./app.js";
import { start } from "./session.js";

render(<App />, document.body);
void start();
