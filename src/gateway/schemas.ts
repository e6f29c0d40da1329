/** Parts of requests that several routes take. */
import { Type } from "typebox";

export const DeviceParams = Type.Object({
  id: Type.String({
    pattern: "^[A-Za-z0-9._:-]{1,128}$",
    description: "device id: 1 to 128 characters of [A-Za-z0-9._:-]",
  }),
});

export const limit = (least: number, most: number, usual: number) =>
  Type.Optional(
    Type.Integer({
      minimum: least,
      maximum: most,
      description: `entries a page at most; ${usual} when not given`,
    }),
  );

/** Any text that a column can hold: PostgreSQL takes every character but NUL. */
export const text = (most: number, description: string) =>
  Type.String({
    minLength: 1,
    maxLength: most,
    pattern: "^[^\\u0000]*$",
    description,
  });

export const idempotencyKey = (description: string) =>
  Type.Optional(
    Type.String({ pattern: "^[\\x21-\\x7e]{1,255}$", description }),
  );

export const cursor = Type.Optional(text(128, "`next` of the page before"));

export const moment = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 64, description }));
