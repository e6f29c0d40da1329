/** The manifests under deploy/k8s/, against Kubernetes' and the operators' own schemas and against the program. */
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { parse, parseAllDocuments } from "yaml";
import { Settings } from "../src/config.js";
import { loadRoles } from "../src/main/all.js";
import { NODE_OPTIONS } from "./support/roles.js";

const test = suite("manifests");
const require = createRequire(import.meta.url);
const FOLDER = "deploy/k8s";

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, unknown>>;
  readonly stringData?: Readonly<Record<string, unknown>>;
  readonly spec?: Spec;
}
interface Spec {
  readonly template?: { readonly spec: PodSpec };
  readonly scaleTargetRef?: { readonly name: string };
  readonly maxReplicaCount?: number;
}
interface PodSpec {
  readonly terminationGracePeriodSeconds: number;
  readonly securityContext: { readonly runAsNonRoot: boolean };
  readonly containers: readonly {
    readonly image: string;
    readonly args: readonly string[];
    readonly env?: readonly {
      readonly name: string;
      readonly value?: string;
    }[];
    readonly ports?: readonly { name: string; containerPort: number }[];
    readonly livenessProbe?: { httpGet: { path: string } };
    readonly readinessProbe?: { httpGet: { path: string } };
    readonly securityContext: { readonly readOnlyRootFilesystem: boolean };
  }[];
}

/** Where the models of a group are that is not Kubernetes' own. */
const OPERATORS: Readonly<Record<string, string>> = {
  "keda.sh": "@kubernetes-models/keda",
  "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
};

/** @throws Error with what is wrong and where */
function validate(manifest: Manifest): void {
  const { apiVersion, kind } = manifest;
  const [group = ""] = apiVersion.split("/");
  const where = OPERATORS[group] ?? "kubernetes-models";
  const models = require(`${where}/${apiVersion}/${kind}`) as Record<
    string,
    new (data: object) => { validate(): void }
  >;
  new models[kind]!(manifest).validate();
}

const read = (path: string): string => readFileSync(join(FOLDER, path), "utf8");
const all = readdirSync(FOLDER, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".yaml"))
  .filter((name) => !name.endsWith("kustomization.yaml"))
  .flatMap((name) =>
    parseAllDocuments(read(name), { merge: true }).map(
      (document) => document.toJS() as Manifest,
    ),
  );
const pods = all.flatMap((one) =>
  one.spec?.template === undefined
    ? []
    : [
        {
          name: one.metadata.name,
          kind: one.kind,
          pod: one.spec.template.spec,
        },
      ],
);

test("every manifest is of the form that its schema asks for", () => {
  assert.ok(all.length > 15, `only ${all.length}`);
  for (const manifest of all) validate(manifest);
});

test("a planted mistake is found", () => {
  const deployment = all.find(({ kind }) => kind === "Deployment")!;
  const spoilt = JSON.parse(
    JSON.stringify(deployment).replace('"replicas":', '"replicas":"two","x":'),
  ) as Manifest;
  assert.throws(() => validate(spoilt));
});

test("each role is there, as the program names it, with a bridge's fixed name", async () => {
  const names = pods.map(({ name }) => name).toSorted();
  const roles = (await loadRoles("all")).map(({ name }) => name);
  assert.equal(names, [...roles, "migrate"].toSorted());
  for (const { name, pod } of pods)
    assert.equal(pod.containers[0]!.args, [name], name);
  assert.is(pods.find(({ name }) => name === "bridge")!.kind, "StatefulSet");
});

test("no pod is root or writes to its image, and each has longer to end than a role takes", () => {
  for (const { name, pod, kind } of pods) {
    const [container] = pod.containers;
    assert.ok(pod.securityContext.runAsNonRoot, name);
    assert.ok(container!.securityContext.readOnlyRootFilesystem, name);
    if (kind === "Job") continue;
    // 20 s of the role itself, and preStop.
    assert.ok(pod.terminationGracePeriodSeconds >= 30, name);
    assert.is(container!.livenessProbe!.httpGet.path, "/alive", name);
    assert.is(container!.readinessProbe!.httpGet.path, "/ready", name);
    assert.ok(
      container!.ports!.some(
        (port) => port.name === "metrics" && port.containerPort === 9100,
      ),
      name,
    );
  }
});

test("every setting that stands there is one", () => {
  const named = [
    ...all.flatMap(({ data, stringData }) => [
      ...Object.keys(data ?? {}),
      ...Object.keys(stringData ?? {}),
    ]),
    ...pods.flatMap(({ pod }) =>
      pod.containers.flatMap(({ env = [] }) => env.map(({ name }) => name)),
    ),
  ];
  assert.ok(named.length > 15);
  for (const name of named)
    assert.ok(name in Settings.properties || name === "NODE_OPTIONS", name);
});

test("roles are started with the options of Node's own that compose and the tests start them with", () => {
  for (const { name, pod } of pods)
    for (const { env = [] } of pod.containers)
      assert.is(
        env.find((one) => one.name === "NODE_OPTIONS")?.value,
        NODE_OPTIONS[name]?.join(" "),
        name,
      );
});

test("nothing is scaled beyond the partitions, nor what is not there", () => {
  const settings = all.find(({ kind }) => kind === "ConfigMap")!.data!;
  const scaled = all.filter(({ kind }) => kind === "ScaledObject");
  assert.is(scaled.length, 2);
  for (const { spec, metadata } of scaled)
    assert.ok(
      pods.some(({ name }) => name === spec!.scaleTargetRef!.name),
      metadata.name,
    );
  const processor = scaled.find(
    ({ metadata }) => metadata.name === "processor",
  );
  assert.is(
    processor!.spec!.maxReplicaCount,
    Number(settings["IOT_PARTITIONS"]),
  );
});

test("each kustomization names files that are there, and all of them", () => {
  for (const folder of ["base", "keda", "monitoring"]) {
    const { resources } = parse(read(`${folder}/kustomization.yaml`)) as {
      resources: string[];
    };
    const there = readdirSync(join(FOLDER, folder)).filter(
      (name) => name !== "kustomization.yaml",
    );
    assert.equal(resources.toSorted(), there.toSorted(), folder);
  }
});

test.run();
