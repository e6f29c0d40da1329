/** Time, as the program asks for it. */

/** Unix milliseconds. */
export type Clock = () => number;
