// Classifies a picture, and then frames of a stream, with the code that `buf generate` makes of tta.proto.
//
//   npm install && npm run generate
//   npm start -- photo.jpg cat,dog,bird http://localhost:50051
import { readFile } from "node:fs/promises";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AdaptationService, ClassifyStreamRequestSchema, LabelsSchema, OpenStream_Policy } from "./generated/tta/v1/tta_pb.js";

const [file = "photo.jpg", names = "cat,dog,bird", baseUrl = "http://localhost:50051"] = process.argv.slice(2);
const client = createClient(AdaptationService, createGrpcTransport({ baseUrl }));
const labels = create(LabelsSchema, { source: { case: "labelSet", value: { names: names.split(",") } } });
const image = { content: { case: "encoded" as const, value: await readFile(file) } };

async function* camera(): AsyncGenerator<MessageInitShape<typeof ClassifyStreamRequestSchema>> {
  const options = { strategy: { name: "tda" } };
  yield { kind: { case: "open", value: { labels, options, policy: OpenStream_Policy.BLOCK } } };
  for (let frameId = 1n; frameId <= 3n; frameId++) {
    yield { kind: { case: "frame", value: { frameId, image } } };
  }
}

try {
  const options = { strategy: { name: "mta", parameters: { views: 16 } } };
  const answer = await client.classify({ image, labels, options }, { timeoutMs: 10_000 });
  for (const { label, score } of answer.top) {
    console.log(`${label} ${score.toFixed(3)}`);
  }
  for await (const { kind } of client.classifyStream(camera())) {
    if (kind.case === "answer") {
      console.log(`frame ${kind.value.frameId}: ${kind.value.response?.top[0].label}`);
    } else if (kind.case === "error") {
      console.log(`frame ${kind.value.frameId}: ${kind.value.status?.message}`);
    }
  }
} catch (error) {
  console.error(ConnectError.from(error).message); // it names the field
  process.exitCode = 1;
}
