/** Requests and answers of uploads, as the API's description shows them. */
import { Type } from "typebox";
import { cursor, idempotencyKey, limit } from "../schemas.js";

const id = (description: string) =>
  Type.String({
    pattern: "^[A-Za-z0-9._:-]{1,128}$",
    description: `${description}: 1 to 128 characters of [A-Za-z0-9._:-]`,
  });

/** Shown only: `domain/bulk.ts` is what reads an upload, as its body is a stream here. */
export const UploadBody = Type.Array(
  Type.Object({
    equip_uuid: id("the device's id"),
    equip_nome: Type.Optional(
      Type.Union([Type.String({ minLength: 1, maxLength: 256 }), Type.Null()]),
    ),
    sensor: Type.Array(
      Type.Object({
        sensor_uuid: id("the point's name"),
        sensor_tipo: Type.String({ minLength: 1, maxLength: 128 }),
        valor: Type.Union([Type.Number(), Type.Boolean(), Type.String()]),
        timestamp: Type.Union([Type.String(), Type.Number()], {
          description: "ISO 8601, or Unix seconds or milliseconds",
        }),
      }),
      { minItems: 1 },
    ),
  }),
  { minItems: 1 },
);

export const UploadHeaders = Type.Object({
  "idempotency-key": idempotencyKey(
    "the same key is the same upload, however often it is sent",
  ),
});

export const ClaimParams = Type.Object({
  claim_id: Type.String({
    pattern: "^[0-7][0-9A-HJKMNP-TV-Z]{25}$",
    description: "`claim_id` as the upload was answered",
  }),
});

export const CLAIMS_A_PAGE = { usual: 50, most: 500 };
export const ClaimsQuery = Type.Object({
  limit: limit(1, CLAIMS_A_PAGE.most, CLAIMS_A_PAGE.usual),
  cursor,
});
