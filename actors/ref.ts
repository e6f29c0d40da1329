/** A reference that remembers what its actor can be told: nact's own `Ref<T>` accepts any message. */
import { dispatch, type Ref } from "nact";

declare const told: unique symbol;
export type TypedRef<M> = Ref<M> & { readonly [told]?: (message: M) => void };

export function send<M>(ref: TypedRef<M>, message: M): void {
  dispatch(ref, message);
}
